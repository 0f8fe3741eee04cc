//! The account that the key belongs to.

use serde_json::json;

use super::routes::Route;

pub(crate) const ROUTES: &[Route] = &[Route {
    method: "GET",
    path: "/v1/account",
    takes: &[],
    act: |_, _| {
        Ok(json!({
            "id": "acct_1Fake",
            "object": "account",
            "business_profile": { "name": "Fake" },
            "charges_enabled": true,
            "country": "DE",
            "default_currency": "eur",
            "details_submitted": true,
            "email": "owner@example.com",
            "payouts_enabled": true,
            "settings": { "dashboard": { "display_name": "Fake", "timezone": "Etc/UTC" } },
            "type": "standard",
        }))
    },
}];
