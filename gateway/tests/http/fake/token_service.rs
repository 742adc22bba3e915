//! Token.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use proto::token::v1 as token;
use tonic::{Request, Response, Status};

use super::{CREDENTIAL, Fake, Reply, SECRET, SUCCESSOR, TakenKey, audit_page, pass};

#[tonic::async_trait]
impl token::credentials_server::Credentials for Fake {
    async fn resolve(&self, request: Request<token::ResolveRequest>) -> Reply<token::ResolveResponse> {
        let gate = self.0.gate.lock().unwrap().clone();
        let request = self.take("Resolve", request)?;
        let session = self.0.sessions.lock().unwrap().get(&request.secret).cloned();
        pass(gate).await;
        let refused = || platform::Error::unauthenticated("no credential has this secret");
        let mut session = session.ok_or_else(refused)?;
        session.access_token_expires_at_us = self.0.clock.now().plus(Duration::from_secs(300)).micros();
        Ok(Response::new(session))
    }

    async fn create_credential(
        &self,
        request: Request<token::CreateCredentialRequest>,
    ) -> Reply<token::CreateCredentialResponse> {
        let request = self.take("CreateCredential", request)?;
        let credential = token::Credential {
            id: CREDENTIAL.into(),
            tenant_id: request.tenant_id,
            label: request.label,
            created_at_us: 1_600_000_000_000_000,
            expires_at_us: request.expires_at_us,
            ..token::Credential::default()
        };
        let secret = "rcs_new".into();
        Ok(Response::new(token::CreateCredentialResponse { credential: Some(credential), secret }))
    }

    async fn list_credentials(
        &self,
        request: Request<token::ListCredentialsRequest>,
    ) -> Reply<token::ListCredentialsResponse> {
        self.take("ListCredentials", request)?;
        let credential = token::Credential { id: CREDENTIAL.into(), ..token::Credential::default() };
        Ok(Response::new(token::ListCredentialsResponse { credentials: vec![credential] }))
    }

    async fn revoke_credential(
        &self,
        request: Request<token::RevokeCredentialRequest>,
    ) -> Reply<token::RevokeCredentialResponse> {
        self.take("RevokeCredential", request)?;
        Ok(Response::new(token::RevokeCredentialResponse { credential: None }))
    }

    async fn start_rotation(
        &self,
        request: Request<token::StartRotationRequest>,
    ) -> Reply<token::StartRotationResponse> {
        let request = self.take("StartRotation", request)?;
        let credential = token::Credential {
            id: SUCCESSOR.into(),
            label: request.label,
            expires_at_us: request.expires_at_us,
            replaces: request.credential_id,
            ..token::Credential::default()
        };
        let (credential, secret) = (Some(credential), "rcs_successor".into());
        Ok(Response::new(token::StartRotationResponse { credential, secret }))
    }

    async fn complete_rotation(
        &self,
        request: Request<token::CompleteRotationRequest>,
    ) -> Reply<token::CompleteRotationResponse> {
        let id = self.take("CompleteRotation", request)?.credential_id;
        let credential = Some(token::Credential { id, ..token::Credential::default() });
        Ok(Response::new(token::CompleteRotationResponse { credential }))
    }

    async fn cancel_rotation(
        &self,
        request: Request<token::CancelRotationRequest>,
    ) -> Reply<token::CancelRotationResponse> {
        let id = self.take("CancelRotation", request)?.credential_id;
        let revoked_at_us = 1_600_000_000_000_000;
        let credential = Some(token::Credential { id, revoked_at_us, ..token::Credential::default() });
        Ok(Response::new(token::CancelRotationResponse { credential }))
    }
}

impl Fake {
    fn tenant(&self) -> Option<token::Tenant> {
        self.0.sessions.lock().unwrap()[SECRET].tenant.clone()
    }
}

#[tonic::async_trait]
impl token::tenants_server::Tenants for Fake {
    async fn create_tenant(
        &self,
        request: Request<token::CreateTenantRequest>,
    ) -> Reply<token::CreateTenantResponse> {
        let request = self.take("CreateTenant", request)?;
        let gate = self.0.creation_gate.lock().unwrap().clone();
        pass(gate).await;
        let mut tenant = self.tenant();
        if let Some(tenant) = &mut tenant {
            tenant.name = request.name;
            if request.preset == "ziflow" {
                tenant.scim_path = "/v1/scim/v2".into();
            }
        }
        let secret = "rcs_first".into();
        Ok(Response::new(token::CreateTenantResponse {
            tenant,
            secret,
            credential: None,
            role_and_teams: String::new(),
        }))
    }

    async fn get_tenant(&self, request: Request<token::GetTenantRequest>) -> Reply<token::GetTenantResponse> {
        let request = self.take("GetTenant", request)?;
        if let Some(token::get_tenant_request::Tenant::Name(name)) = request.tenant
            && name != "contoso"
        {
            return Err(platform::Error::not_found("no tenant has this name").into());
        }
        Ok(Response::new(token::GetTenantResponse { tenant: self.tenant() }))
    }

    async fn list_tenants(
        &self,
        request: Request<token::ListTenantsRequest>,
    ) -> Reply<token::ListTenantsResponse> {
        self.take("ListTenants", request)?;
        let tenants = self.tenant().into_iter().collect();
        Ok(Response::new(token::ListTenantsResponse { tenants, next_page_token: "more".into() }))
    }

    /// Changes the state of the one tenant there is, and some of its settings.
    async fn update_tenant(
        &self,
        request: Request<token::UpdateTenantRequest>,
    ) -> Reply<token::UpdateTenantResponse> {
        let request = self.take("UpdateTenant", request)?;
        let mut sessions = self.0.sessions.lock().unwrap();
        let tenant = sessions.get_mut(SECRET).unwrap().tenant.as_mut().unwrap();
        if request.state() != token::TenantState::Unspecified {
            tenant.state = request.state;
        }
        if let (Some(settings), Some(change)) = (&mut tenant.settings, request.settings) {
            settings.groups = change.groups.unwrap_or(settings.groups);
            settings.keep_deleted_days = change.keep_deleted_days.unwrap_or(settings.keep_deleted_days);
            settings.limits = change.limits.or(settings.limits);
        }
        tenant.version += 1;
        Ok(Response::new(token::UpdateTenantResponse { tenant: Some(tenant.clone()) }))
    }

    /// The first one stays.
    async fn pin_dialect(
        &self,
        request: Request<token::PinDialectRequest>,
    ) -> Reply<token::PinDialectResponse> {
        let request = self.take("PinDialect", request)?;
        let mut sessions = self.0.sessions.lock().unwrap();
        let tenant = sessions.get_mut(SECRET).unwrap().tenant.as_mut().unwrap();
        if tenant.recognised.is_none() {
            tenant.dialect = request.dialect;
            tenant.recognised =
                Some(token::Recognition { dialect: request.dialect, sign: request.sign, at_us: 1 });
        }
        Ok(Response::new(token::PinDialectResponse { tenant: Some(tenant.clone()) }))
    }

    async fn delete_tenant(
        &self,
        request: Request<token::DeleteTenantRequest>,
    ) -> Reply<token::DeleteTenantResponse> {
        self.take("DeleteTenant", request)?;
        Ok(Response::new(token::DeleteTenantResponse { tenant: self.tenant() }))
    }

    async fn purge_tenant(
        &self,
        request: Request<token::PurgeTenantRequest>,
    ) -> Reply<token::PurgeTenantResponse> {
        self.take("token.PurgeTenant", request)?;
        Ok(Response::new(token::PurgeTenantResponse {}))
    }

    async fn enable_scim(
        &self,
        request: Request<token::EnableScimRequest>,
    ) -> Reply<token::EnableScimResponse> {
        let request = self.take("EnableScim", request)?;
        self.0.sessions.lock().unwrap().get_mut(SECRET).unwrap().tenant.as_mut().unwrap().scim_enabled = true;
        let credential = token::Credential {
            id: CREDENTIAL.into(),
            label: request.label,
            expires_at_us: request.expires_at_us,
            ..token::Credential::default()
        };
        let (credential, secret) = (Some(credential), "rcs_enabled".into());
        Ok(Response::new(token::EnableScimResponse { tenant: self.tenant(), secret, credential }))
    }

    async fn disable_scim(
        &self,
        request: Request<token::DisableScimRequest>,
    ) -> Reply<token::DisableScimResponse> {
        self.take("DisableScim", request)?;
        self.0.sessions.lock().unwrap().get_mut(SECRET).unwrap().tenant.as_mut().unwrap().scim_enabled =
            false;
        Ok(Response::new(token::DisableScimResponse { tenant: self.tenant() }))
    }
}

#[tonic::async_trait]
impl token::clients_server::Clients for Fake {
    async fn create_client(
        &self,
        request: Request<token::CreateClientRequest>,
    ) -> Reply<token::CreateClientResponse> {
        let token::CreateClientRequest { name, tenant_id, scopes, jwks, federation } =
            self.take("CreateClient", request)?;
        let has_secret = jwks.is_empty() && federation.is_none();
        let client_secret = if has_secret { "shh".into() } else { String::new() };
        let client = token::Client {
            id: "c-1".into(),
            name,
            tenant_id,
            scopes,
            created_at_us: 0,
            has_secret,
            jwks,
            federation,
        };
        Ok(Response::new(token::CreateClientResponse { client: Some(client), client_secret }))
    }

    async fn list_clients(
        &self,
        request: Request<token::ListClientsRequest>,
    ) -> Reply<token::ListClientsResponse> {
        self.take("ListClients", request)?;
        let tenant_id = self.tenant().unwrap().id;
        let of = |name: &str, tenant_id: String| token::Client {
            id: CREDENTIAL.into(),
            name: name.into(),
            tenant_id,
            ..token::Client::default()
        };
        let clients = vec![of("billing", tenant_id), of("everybody", String::new())];
        Ok(Response::new(token::ListClientsResponse { clients, next_page_token: String::new() }))
    }

    async fn update_client(
        &self,
        request: Request<token::UpdateClientRequest>,
    ) -> Reply<token::UpdateClientResponse> {
        let request = self.take("UpdateClient", request)?;
        let (id, jwks, federation) = (request.id, request.jwks.unwrap_or_default(), request.federation);
        let client = Some(token::Client { id, jwks, federation, ..token::Client::default() });
        Ok(Response::new(token::UpdateClientResponse { client }))
    }

    async fn rotate_client_secret(
        &self,
        request: Request<token::RotateClientSecretRequest>,
    ) -> Reply<token::RotateClientSecretResponse> {
        let id = self.take("RotateClientSecret", request)?.id;
        let client = Some(token::Client { id, has_secret: true, ..token::Client::default() });
        Ok(Response::new(token::RotateClientSecretResponse { client, client_secret: "next".into() }))
    }

    async fn delete_client(
        &self,
        request: Request<token::DeleteClientRequest>,
    ) -> Reply<token::DeleteClientResponse> {
        self.take("DeleteClient", request)?;
        Ok(Response::new(token::DeleteClientResponse {}))
    }
}

#[tonic::async_trait]
impl token::o_auth_server::OAuth for Fake {
    async fn issue_token(
        &self,
        request: Request<token::IssueTokenRequest>,
    ) -> Reply<token::IssueTokenResponse> {
        use tonic_types::{ErrorDetails, StatusExt};
        let request = self.take("IssueToken", request)?;
        if request.client_secret != "s&cret:+" {
            return Err(platform::Error::unauthenticated("no client has this id and secret").into());
        }
        if request.scope == "everything" {
            let metadata = BTreeMap::from([("oauth_error".to_owned(), "invalid_scope".to_owned())]);
            let details = ErrorDetails::with_error_info(
                "InvalidValue",
                "rollcall",
                metadata.into_iter().collect::<HashMap<_, _>>(),
            );
            return Err(Status::with_error_details(
                tonic::Code::InvalidArgument,
                "no such scope: everything",
                details,
            ));
        }
        let (access_token, scope) = ("jwt".into(), "memberships:read".into());
        Ok(Response::new(token::IssueTokenResponse { access_token, expires_in_s: 300, scope }))
    }
}

#[tonic::async_trait]
impl token::keys_server::Keys for Fake {
    async fn list_keys(&self, request: Request<token::ListKeysRequest>) -> Reply<token::ListKeysResponse> {
        self.take("ListKeys", request)?;
        Ok(Response::new(token::ListKeysResponse { jwks: r#"{"keys":[]}"#.into() }))
    }
    async fn rotate_signing_key(
        &self,
        request: Request<token::RotateSigningKeyRequest>,
    ) -> Reply<token::RotateSigningKeyResponse> {
        self.take("RotateSigningKey", request)?;
        let signs_from_us = 1_700_000_600_000_000;
        Ok(Response::new(token::RotateSigningKeyResponse { signs_from_us }))
    }
}

#[tonic::async_trait]
impl token::admins_server::Admins for Fake {
    async fn create_admin(
        &self,
        request: Request<token::CreateAdminRequest>,
    ) -> Reply<token::CreateAdminResponse> {
        let label = self.take("CreateAdmin", request)?.label;
        let admin = token::Admin { id: CREDENTIAL.into(), label, ..token::Admin::default() };
        Ok(Response::new(token::CreateAdminResponse { admin: Some(admin), secret: "rca_new".into() }))
    }

    async fn list_admins(
        &self,
        request: Request<token::ListAdminsRequest>,
    ) -> Reply<token::ListAdminsResponse> {
        self.take("ListAdmins", request)?;
        let admin = token::Admin { id: CREDENTIAL.into(), ..token::Admin::default() };
        Ok(Response::new(token::ListAdminsResponse { admins: vec![admin] }))
    }

    async fn revoke_admin(
        &self,
        request: Request<token::RevokeAdminRequest>,
    ) -> Reply<token::RevokeAdminResponse> {
        self.take("RevokeAdmin", request)?;
        Ok(Response::new(token::RevokeAdminResponse { admin: None }))
    }
}

#[tonic::async_trait]
impl token::issuers_server::Issuers for Fake {
    async fn create_issuer(
        &self,
        request: Request<token::CreateIssuerRequest>,
    ) -> Reply<token::CreateIssuerResponse> {
        let issuer = self.take("CreateIssuer", request)?.issuer;
        let issuer = issuer.map(|issuer| token::TrustedIssuer { id: CREDENTIAL.into(), ..issuer });
        Ok(Response::new(token::CreateIssuerResponse { issuer }))
    }

    async fn list_issuers(
        &self,
        request: Request<token::ListIssuersRequest>,
    ) -> Reply<token::ListIssuersResponse> {
        self.take("ListIssuers", request)?;
        let issuer = token::TrustedIssuer {
            id: CREDENTIAL.into(),
            issuer: "https://sts.windows.net/t/".into(),
            audience: "a".into(),
            ..token::TrustedIssuer::default()
        };
        Ok(Response::new(token::ListIssuersResponse { issuers: vec![issuer] }))
    }

    async fn delete_issuer(
        &self,
        request: Request<token::DeleteIssuerRequest>,
    ) -> Reply<token::DeleteIssuerResponse> {
        self.take("DeleteIssuer", request)?;
        Ok(Response::new(token::DeleteIssuerResponse {}))
    }
}

#[tonic::async_trait]
impl token::idempotency_server::Idempotency for Fake {
    async fn begin_request(
        &self,
        request: Request<token::BeginRequestRequest>,
    ) -> Reply<token::BeginRequestResponse> {
        use token::begin_request_response::State;
        let token::BeginRequestRequest { key, fingerprint } = self.take("BeginRequest", request)?;
        let mut keys = self.0.idempotency_keys.lock().unwrap();
        let (state, answer) = match keys.get(&key) {
            None => (State::New, None),
            Some(taken) if taken.fingerprint != fingerprint => (State::Misused, None),
            Some(TakenKey { answer: None, .. }) => (State::UnderWay, None),
            Some(TakenKey { answer: Some(answer), .. }) => (State::Answered, Some(answer.clone())),
        };
        let mut begun = token::BeginRequestResponse { state: state.into(), ..Default::default() };
        match state {
            State::New => {
                keys.insert(key, TakenKey { fingerprint: fingerprint.to_vec(), answer: None });
                // Each time another one.
                let calls = self.0.calls.lock().unwrap();
                begun.attempt =
                    format!("attempt-{}", calls.iter().filter(|call| call.rpc == "BeginRequest").count());
            }
            State::UnderWay => begun.retry_after_s = 7,
            _ => begun.answer = answer.unwrap_or_default().into(),
        }
        Ok(Response::new(begun))
    }

    async fn finish_request(
        &self,
        request: Request<token::FinishRequestRequest>,
    ) -> Reply<token::FinishRequestResponse> {
        let token::FinishRequestRequest { key, answer, .. } = self.take("FinishRequest", request)?;
        self.0.idempotency_keys.lock().unwrap().get_mut(&key).unwrap().answer = Some(answer.to_vec());
        Ok(Response::new(token::FinishRequestResponse::default()))
    }

    async fn abandon_request(
        &self,
        request: Request<token::AbandonRequestRequest>,
    ) -> Reply<token::AbandonRequestResponse> {
        let key = self.take("AbandonRequest", request)?.key;
        self.0.idempotency_keys.lock().unwrap().remove(&key);
        Ok(Response::new(token::AbandonRequestResponse::default()))
    }
}

#[tonic::async_trait]
impl token::audit_server::Audit for Fake {
    async fn list_audit_events(
        &self,
        request: Request<token::ListAuditEventsRequest>,
    ) -> Reply<token::ListAuditEventsResponse> {
        let query = self.take("token.ListAuditEvents", request)?.query;
        let (events, next_page_token) = audit_page(&self.0.token_audit.lock().unwrap(), query);
        Ok(Response::new(token::ListAuditEventsResponse { events, next_page_token }))
    }
}
