//! What is wrong with settings: every fault at once, each with its key and what would be right.

use platform::redis::Kind;

use super::{Role, Settings};

impl Settings {
    /// What keeps `role` from running with these settings. Reads the files they name; connects to nothing.
    pub(crate) fn faults(&self, role: Role) -> Vec<String> {
        let mut faults = Faults::default();
        faults.numbers(self);
        match role {
            Role::Standalone => {}
            Role::Gateway => {
                faults.upstreams(self, &migrations::Service::ALL);
                faults.tls(self);
                faults.take(self.secrets.platform_secret());
                faults.redis(self);
            }
            Role::Token => {
                faults.tls(self);
                faults.take(self.secrets.key_encryption_key());
                faults.take(self.secrets.platform_secret());
                faults.take(self.secrets.admin_token());
                faults.redis(self);
            }
            Role::Identity => {
                faults.upstreams(self, &[migrations::Service::Token]);
                faults.tls(self);
                faults.take(self.secrets.cursor_key());
            }
            Role::Membership => {
                faults.upstreams(self, &[migrations::Service::Identity, migrations::Service::Token]);
                faults.tls(self);
                faults.take(self.secrets.cursor_key());
                faults.take(self.secrets.platform_secret());
            }
            Role::Journal => {
                faults.upstreams(self, &[migrations::Service::Token]);
                faults.tls(self);
            }
            Role::Migrate => {
                for service in migrations::Service::ALL {
                    faults.take(self.database.owner_url(&self.migrate, service));
                }
            }
        }
        if let Some(service) = role.service() {
            faults.take(self.database.url(service));
            faults.take(self.database.replica(service));
        }
        faults.found.dedup();
        faults.found
    }
}

#[derive(Default)]
struct Faults {
    found: Vec<String>,
}

impl Faults {
    fn take<T>(&mut self, outcome: Result<T, String>) {
        if let Err(fault) = outcome
            && !self.found.contains(&fault)
        {
            self.found.push(fault);
        }
    }

    fn between(&mut self, key: &str, value: u64, least: u64, most: u64) {
        if !(least..=most).contains(&value) {
            self.found.push(format!("{key} is {value}: it must be from {least} to {most}"));
        }
    }

    fn numbers(&mut self, settings: &Settings) {
        let Settings { server, grpc, database, redis, gateway, membership, .. } = settings;
        // As for the limits of a tenant; where requests are counted together, they are due in whole microseconds.
        let most_requests = platform::redis::Gcra::MAX_PER_SECOND.into();
        let [rate, floor] = [gateway.rate_limit_per_second, gateway.rate_limit_floor_per_second];
        self.between("gateway.rate_limit_per_second", rate.into(), 1, most_requests);
        self.between("gateway.rate_limit_floor_per_second", floor.into(), 0, most_requests);
        self.between("gateway.rate_limit_burst", gateway.rate_limit_burst.into(), 1, most_requests);
        self.between("membership.index_memory_mib", membership.index_memory_mib.into(), 0, 1 << 20);
        self.between("membership.index_loads", membership.index_loads.into(), 1, 64);
        self.between("server.shutdown_grace_seconds", server.shutdown_grace_seconds, 1, 3600);
        self.between("server.drain_delay_seconds", server.drain_delay_seconds, 0, 3600);
        self.between("server.change_log_days", server.change_log_days.into(), 1, 3650);
        self.between("grpc.max_calls", grpc.max_calls as u64, 1, 1_000_000);
        self.between("grpc.max_connection_age_seconds", grpc.max_connection_age_seconds, 0, 86_400);
        self.between("grpc.connect_timeout_ms", grpc.connect_timeout_ms, 10, 60_000);
        self.between("grpc.keep_alive_interval_ms", grpc.keep_alive_interval_ms, 1000, 3_600_000);
        self.between("grpc.keep_alive_timeout_ms", grpc.keep_alive_timeout_ms, 100, 60_000);
        self.between("grpc.resolve_every_seconds", grpc.resolve_every_seconds, 1, 3600);
        self.between("database.max_connections", database.max_connections.into(), 2, 10_000);
        let most = database.max_connections.into();
        self.between("database.min_connections", database.min_connections.into(), 0, most);
        self.between("database.acquire_timeout_ms", database.acquire_timeout_ms, 100, 19_000);
        self.between("database.connect_timeout_ms", database.connect_timeout_ms, 100, 60_000);
        self.between("database.statement_timeout_ms", database.statement_timeout_ms, 100, 19_000);
        self.between("database.write_timeout_ms", database.write_timeout_ms, 100, 19_000);
        self.between("database.idle_timeout_seconds", database.idle_timeout_seconds, 1, 86_400);
        self.between("database.max_lifetime_seconds", database.max_lifetime_seconds, 1, 86_400);
        self.between("database.replica_max_lag_seconds", database.replica_max_lag_seconds, 1, 3600);
        self.between("database.start_timeout_seconds", database.start_timeout_seconds, 0, 3600);
        self.between("redis.timeout_ms", redis.timeout_ms, 1, 5000);
        if redis.prefix.is_empty() || redis.prefix.contains(['{', '}', ' ']) {
            self.found
                .push("redis.prefix must be a word without braces or blanks, like `rollcall`".to_owned());
        }
        if let Err(error) = platform::telemetry::check(&settings.telemetry) {
            self.found.push(error);
        }
    }

    fn upstreams(&mut self, settings: &Settings, services: &[migrations::Service]) {
        let tls = !settings.grpc.tls.ca_file.as_os_str().is_empty();
        for service in services {
            let key = format!("services.{}", service.name());
            let addresses = settings.services.of(*service);
            if addresses.is_empty() {
                let scheme = if tls { "https" } else { "http" };
                let name = service.name();
                self.found.push(format!(
                    "{key} is empty: it must name where the service is, like [\"{scheme}://{name}:8081\"]"
                ));
            }
            for address in addresses {
                if let Err(error) = platform::transport::check_address(address, tls) {
                    self.found.push(format!("{key}: {error}"));
                }
            }
        }
    }

    fn tls(&mut self, settings: &Settings) {
        self.take(settings.grpc.tls().map_err(|error| error.to_string()));
    }

    fn redis(&mut self, settings: &Settings) {
        match settings.redis.options() {
            Ok(Some(options)) => {
                self.take(platform::redis::check(&options).map_err(|error| error.to_string()))
            }
            Ok(None) if settings.redis.kind != Kind::Single => {
                self.found
                    .push("redis.urls is empty although redis.kind is set: set both or none".to_owned());
            }
            Ok(None) => {}
            Err(fault) => self.found.push(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    #[test]
    fn what_is_missing_is_named_for_each_role() {
        let settings = load(None).unwrap();
        assert_eq!(settings.faults(Role::Standalone), Vec::<String>::new());
        for (role, keys) in [
            (Role::Gateway, &["services.identity", "services.journal", "secrets.platform_secret"][..]),
            (Role::Identity, &["services.token", "secrets.cursor_key", "database.url"]),
            (
                Role::Membership,
                &["services.identity", "services.token", "secrets.platform_secret", "database.url"],
            ),
            (Role::Token, &["secrets.key_encryption_key", "secrets.platform_secret", "database.url"]),
            (Role::Journal, &["services.token", "database.url"]),
            (Role::Migrate, &["database.url"]),
        ] {
            let faults = settings.faults(role);
            for key in keys {
                let named = faults.iter().any(|fault| fault.starts_with(key));
                assert!(named, "{role:?} does not miss {key}: {faults:#?}");
            }
        }
    }

    #[test]
    fn certificates_for_redis_are_looked_at() {
        let mut settings = load(None).unwrap();
        settings.redis.urls.0 = vec!["rediss://redis:6379".to_owned().into()];
        let fault = |settings: &Settings| {
            let faults = settings.faults(Role::Gateway);
            faults.into_iter().find(|fault| fault.starts_with("redis")).unwrap_or_default()
        };
        assert_eq!(fault(&settings), "");
        settings.redis.ca_file = "/nowhere/ca.pem".into();
        assert!(
            fault(&settings).starts_with("redis.ca_file: the file /nowhere/ca.pem"),
            "{}",
            fault(&settings)
        );
        settings.redis.ca_file = "Cargo.toml".into();
        assert!(fault(&settings).starts_with("redis.ca_file: the file is no PEM"), "{}", fault(&settings));
        settings.redis.cert_file = "Cargo.toml".into();
        assert!(fault(&settings).starts_with("redis.key_file is empty"), "{}", fault(&settings));
    }

    #[test]
    fn a_replica_is_that_of_the_primary_it_is_named_beside() {
        let mut settings = load(None).unwrap();
        let primary = || "postgres://u:hunter2@primary/rollcall".to_owned().into();
        settings.database.url = primary();
        let [identity, journal] = [migrations::Service::Identity, migrations::Service::Journal];
        let host = |settings: &Settings, service| {
            let replica = settings.database.replica(service).unwrap()?;
            let url = url::Url::parse(secrecy::ExposeSecret::expose_secret(&replica.url)).unwrap();
            Some(url.host_str().unwrap().to_owned())
        };
        assert_eq!(host(&settings, identity), None);
        settings.database.replica_url = "postgres://u:hunter2@replica/rollcall".to_owned().into();
        assert_eq!(host(&settings, identity).as_deref(), Some("replica"));
        assert_eq!(host(&settings, migrations::Service::Membership), None);
        // A primary of its own, to which the other replica does not belong.
        settings.database.journal.url = primary();
        assert_eq!(host(&settings, journal), None);
        settings.database.journal.replica_url = "postgres://u:hunter2@other/rollcall".to_owned().into();
        assert_eq!(host(&settings, journal).as_deref(), Some("other"));

        settings.database.identity.replica_url = "redis://u:hunter2@replica".to_owned().into();
        settings.database.token.replica_url = "postgres://u:hunter2@replica/rollcall".to_owned().into();
        settings.database.replica_max_lag_seconds = 0;
        for (role, part) in [
            (Role::Identity, "database.identity.replica_url is no URL of PostgreSQL: it must be like"),
            (Role::Token, "database.token.replica_url is set and database.token.url is not"),
            (Role::Gateway, "database.replica_max_lag_seconds is 0: it must be from 1 to 3600"),
        ] {
            let faults = settings.faults(role);
            assert!(faults.iter().any(|fault| fault.starts_with(part)), "{part} is not in {faults:#?}");
            assert!(!faults.concat().contains("hunter2"), "{faults:#?}");
        }
    }

    #[test]
    fn bad_values_are_named_with_what_would_be_right() {
        let mut settings = load(None).unwrap();
        settings.grpc.max_calls = 0;
        settings.database.min_connections = 99;
        settings.gateway.rate_limit_per_second = 2_000_000_000;
        settings.gateway.rate_limit_floor_per_second = u32::MAX;
        settings.gateway.rate_limit_burst = 0;
        settings.redis.prefix = "{a}".to_owned();
        settings.services.identity.0 = vec!["identity:8081".to_owned()];
        settings.telemetry.log = "info,=,".to_owned();
        settings.grpc.tls.ca_file = "/nowhere/ca.pem".into();
        let faults = settings.faults(Role::Gateway).join("\n");
        for part in [
            "grpc.max_calls is 0: it must be from 1",
            "database.min_connections is 99: it must be from 0 to 16",
            "gateway.rate_limit_per_second is 2000000000: it must be from 1 to 1000000",
            "gateway.rate_limit_floor_per_second is 4294967295: it must be from 0 to 1000000",
            "gateway.rate_limit_burst is 0: it must be from 1 to 1000000",
            "redis.prefix must be",
            "services.identity: `identity:8081`",
            "telemetry.log",
            "grpc.tls.cert_file is empty",
        ] {
            assert!(faults.contains(part), "{part} is not in\n{faults}");
        }
    }
}
