{{/* One file of settings for all processes: each reads its sections. Secrets are files beside it, mounted only where they belong. */}}
{{- define "rollcall.config" -}}
{{- $scheme := ternary "https" "http" (ne .Values.tls.existingSecret "") -}}
{{- $name := include "rollcall.name" . -}}
[telemetry]
log_format = "json"

[services]
{{- range $service := list "identity" "membership" "token" "journal" }}
{{ $service }} = ["{{ $scheme }}://{{ $name }}-{{ $service }}.{{ $.Release.Namespace }}.svc:8081"]
{{- end }}
{{- if .Values.tls.existingSecret }}

[grpc.tls]
ca_file = "/run/rollcall/tls/ca.crt"
cert_file = "/run/rollcall/tls/tls.crt"
key_file = "/run/rollcall/tls/tls.key"
{{- end }}

[gateway]
# On the ops port, not for clients.
metrics = false
{{- with .Values.publicUrl }}
public_url = {{ . | toJson }}
{{- end }}
{{- end }}

{{/* The keys of the Secret that a component needs, with the setting that takes the file of each. Of these the processes insist that
they are there and not empty; the admin token, which may be taken away, comes by the environment instead. */}}
{{- define "rollcall.secretFiles" -}}
{{- $files := dict
  "gateway" (dict "platform_secret" "ROLLCALL_SECRETS__PLATFORM_SECRET_FILE")
  "identity" (dict "cursor_key" "ROLLCALL_SECRETS__CURSOR_KEY_FILE" "identity_url" "ROLLCALL_DATABASE__IDENTITY__URL_FILE")
  "membership" (dict "cursor_key" "ROLLCALL_SECRETS__CURSOR_KEY_FILE" "platform_secret" "ROLLCALL_SECRETS__PLATFORM_SECRET_FILE" "membership_url" "ROLLCALL_DATABASE__MEMBERSHIP__URL_FILE")
  "token" (dict "key_encryption_key" "ROLLCALL_SECRETS__KEY_ENCRYPTION_KEY_FILE" "platform_secret" "ROLLCALL_SECRETS__PLATFORM_SECRET_FILE" "token_url" "ROLLCALL_DATABASE__TOKEN__URL_FILE")
  "journal" (dict "journal_url" "ROLLCALL_DATABASE__JOURNAL__URL_FILE") -}}
{{- $wanted := index $files .component -}}
{{- if and .root.Values.secrets.readReplica (has .component (list "identity" "token" "journal")) -}}
{{- $_ := set $wanted (printf "%s_replica_url" .component) (printf "ROLLCALL_DATABASE__%s__REPLICA_URL_FILE" (upper .component)) -}}
{{- end -}}
{{- $wanted | toJson }}
{{- end }}

{{- define "rollcall.secretName" -}}
{{- if .Values.trial.enabled }}{{ include "rollcall.name" . }}-trial{{ else }}{{ .Values.secrets.existingSecret }}{{ end }}
{{- end }}

{{/* Only the gateway and the token service speak to Redis. */}}
{{- define "rollcall.redisSecret" -}}
{{- if has .component (list "gateway" "token") -}}
{{- if .root.Values.trial.enabled }}{{ include "rollcall.secretName" .root }}{{ else }}{{ .root.Values.redis.existingSecret }}{{ end }}
{{- end }}
{{- end }}

{{- define "rollcall.redisTls" -}}
{{- if and (has .component (list "gateway" "token")) (not .root.Values.trial.enabled) -}}
{{- .root.Values.redis.tls.existingSecret }}
{{- end }}
{{- end }}

{{- define "rollcall.env" -}}
{{- range $key, $variable := include "rollcall.secretFiles" . | fromJson }}
- name: {{ $variable }}
  value: /run/rollcall/secrets/{{ $key }}
{{- end }}
{{- if include "rollcall.redisSecret" . }}
- name: ROLLCALL_REDIS__URLS_FILE
  value: /run/rollcall/redis/redis_urls
{{- end }}
{{- if include "rollcall.redisTls" . }}
- name: ROLLCALL_REDIS__CA_FILE
  value: /run/rollcall/redis-tls/ca.crt
{{- if .root.Values.redis.tls.clientCertificate }}
- name: ROLLCALL_REDIS__CERT_FILE
  value: /run/rollcall/redis-tls/tls.crt
- name: ROLLCALL_REDIS__KEY_FILE
  value: /run/rollcall/redis-tls/tls.key
{{- end }}
{{- end }}
{{- if eq .component "token" }}
- name: ROLLCALL_SECRETS__ADMIN_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ include "rollcall.secretName" .root }}
      key: admin_token
      optional: true
{{- end }}
{{- range $name, $value := merge (dict) (default (dict) (index .root.Values .component).env) .root.Values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "rollcall.mounts" -}}
- name: config
  mountPath: /etc/rollcall
  readOnly: true
- name: secrets
  mountPath: /run/rollcall/secrets
  readOnly: true
{{- if include "rollcall.redisSecret" . }}
- name: redis
  mountPath: /run/rollcall/redis
  readOnly: true
{{- end }}
{{- if include "rollcall.redisTls" . }}
- name: redis-tls
  mountPath: /run/rollcall/redis-tls
  readOnly: true
{{- end }}
{{- if .root.Values.tls.existingSecret }}
- name: tls
  mountPath: /run/rollcall/tls
  readOnly: true
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "rollcall.volumes" -}}
- name: config
  configMap:
    name: {{ include "rollcall.name" .root }}
- name: secrets
  secret:
    secretName: {{ include "rollcall.secretName" .root }}
    defaultMode: 0440
    items:
      {{- range $key, $variable := include "rollcall.secretFiles" . | fromJson }}
      - key: {{ $key }}
        path: {{ $key }}
      {{- end }}
{{- with include "rollcall.redisSecret" . }}
- name: redis
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: redis_urls
        path: redis_urls
{{- end }}
{{- with include "rollcall.redisTls" . }}
- name: redis-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .root.Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
