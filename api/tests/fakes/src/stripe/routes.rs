//! Every request of the API that the fake answers, with the parameters that it takes.

use super::errors::{Answer, StripeError};
use super::form::Params;
use super::state::State;
use super::{account, checkout, customers, disputes, endpoints, events, invoices, payments, prices, refunds};
use super::{schedules, subscriptions};

pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// `{id}` stands for the object's id.
    pub(crate) path: &'static str,
    /// As [`Params::allow`] reads them. `expand[]` is allowed everywhere, and [`LIST`] where there is a `limit`.
    pub(crate) takes: &'static [&'static str],
    pub(crate) act: fn(&mut State, &Call<'_>) -> Answer,
}

/// A request that was found to be well formed.
pub(crate) struct Call<'a> {
    pub(crate) id: &'a str,
    pub(crate) params: &'a Params,
}

impl Route {
    pub(crate) fn check(&self, params: &Params) -> Answer<()> {
        let list = if self.takes.contains(&"limit") { LIST } else { &[] };
        params.allow(&[self.takes, list, &["expand[]"]].concat())
    }
}

const LIST: &[&str] = &["created[gte]", "created[gt]", "created[lte]", "created[lt]", "starting_after"];

/// The route of a path and the id in it.
pub(crate) fn find<'p>(method: &str, path: &'p str) -> Answer<(&'static Route, &'p str)> {
    let all = [
        account::ROUTES,
        checkout::ROUTES,
        customers::ROUTES,
        disputes::ROUTES,
        endpoints::ROUTES,
        events::ROUTES,
        invoices::ROUTES,
        payments::ROUTES,
        prices::ROUTES,
        refunds::ROUTES,
        schedules::ROUTES,
        subscriptions::ROUTES,
    ];
    let found = all.into_iter().flatten().find_map(|route| {
        let id = (route.method == method).then(|| id_in(route.path, path))?;
        id.map(|id| (route, id))
    });
    found.ok_or_else(|| StripeError::no_such_path(method, path))
}

/// The id, or nothing where the pattern has none; `None` where the path does not fit.
fn id_in<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let Some((before, after)) = pattern.split_once("{id}") else { return (pattern == path).then_some("") };
    let id = path.strip_prefix(before)?.strip_suffix(after)?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}
