//! Tenants know nothing of each other, and every call needs its scope.

use proto::journal::v1::ListExchangesRequest;
use scim::ErrorKind;

use crate::support::{App, app, ids, token};

const SOMEBODY: &str = "01990000-0000-7000-8000-000000000001";

testkit::store_tests! {
    service: Journal;

    async fn the_same_ids_and_names_in_two_tenants(db: Database) {
        let ours = app(db);
        let theirs = ours.other_tenant();
        let (our, their) = (ours.about(SOMEBODY, "anna"), theirs.about(SOMEBODY, "anna"));
        ours.append(vec![our.clone(), their.clone()]).await.unwrap();
        for (app, exchange) in [(&ours, &our), (&theirs, &their)] {
            for user in [SOMEBODY, "anna"] {
                assert_eq!(ids(&app.about_user(user).await), [exchange.id.as_str()]);
            }
            let by_request = ListExchangesRequest { request_id: "r-1".into(), ..app.question() };
            assert_eq!(ids(&app.find(by_request).await), [exchange.id.as_str()]);
        }
        // A page token of another tenant shows nothing of it.
        let page = ours.page(ListExchangesRequest { page_size: 1, ..ours.question() }).await.unwrap();
        assert!(page.next_page_token.is_empty());
        ours.purge().await.unwrap();
        assert_eq!(theirs.about_user("anna").await.len(), 1);
        assert!(ours.about_user("anna").await.is_empty());
    }

    async fn every_call_needs_its_scope(db: Database) {
        let app = app(db);
        let with = |token: String| App { token, ..app.clone() };
        let tenant = app.tenant.to_string();
        let kind = |error: platform::Error| error.kind;
        for scope in ["scim", "memberships:read", "directory:read", "internal", ""] {
            let app = with(token(&tenant, scope));
            assert_eq!(app.page(app.question()).await.map_err(kind).unwrap_err(), ErrorKind::Forbidden, "{scope}");
            assert_eq!(app.purge().await.map_err(kind).unwrap_err(), ErrorKind::Forbidden, "{scope}");
        }
        // An administrator of one tenant reads that one only; nobody but the platform writes.
        let of_tenant = with(token(&tenant, "admin internal"));
        of_tenant.page(of_tenant.question()).await.unwrap();
        let elsewhere = of_tenant.other_tenant();
        assert_eq!(elsewhere.page(elsewhere.question()).await.map_err(kind).unwrap_err(), ErrorKind::Forbidden);
        assert_eq!(of_tenant.append(vec![app.exchange()]).await.map_err(kind).unwrap_err(), ErrorKind::Forbidden);
        let admin = with(token("*", "admin"));
        assert_eq!(admin.append(vec![app.exchange()]).await.map_err(kind).unwrap_err(), ErrorKind::Forbidden);
    }
}
