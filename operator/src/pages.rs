//! Lists of the API server, page by page.

use kube::api::ListParams;

/// A list's pages, one after the other.
#[derive(Default)]
pub(crate) struct Pages {
    begun: bool,
    next: Option<String>,
}

impl Pages {
    pub(crate) fn next(&mut self) -> Option<ListParams> {
        if self.begun && self.next.is_none() {
            return None;
        }
        self.begun = true;
        let mut params = ListParams::default().limit(PAGE);
        params.continue_token = self.next.take();
        Some(params)
    }

    /// The page that was read says that another one follows, or that none does.
    pub(crate) fn read(&mut self, next: Option<&str>) {
        self.next = next.filter(|next| !next.is_empty()).map(str::to_owned);
    }
}

const PAGE: u32 = 500;
