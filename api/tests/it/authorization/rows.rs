//! How each operation is called, and who is let in.
//!
//! `x-caudal-auth` says who is; a row says where somebody is treated otherwise. `<thing>` stands for something that `World::thing` makes.

use serde_json::{Value, json};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Anonymous,
    Other,
    Owner,
    /// Who keeps order in the owner's chat.
    Moderator,
    Admin,
    /// With an access token that was good until the ban.
    Banned,
}

impl Caller {
    pub(crate) const ALL: [Self; 6] =
        [Self::Anonymous, Self::Other, Self::Owner, Self::Moderator, Self::Admin, Self::Banned];

    /// Whose token comes along.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Anonymous => None,
            Self::Other => Some("other"),
            Self::Owner => Some("owner"),
            Self::Moderator => Some("moderator"),
            Self::Admin => Some("admin"),
            Self::Banned => Some("banned"),
        }
    }
}

/// Whom `x-caudal-auth` lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    Anonymous,
    User,
    Owner,
    Moderator,
    Admin,
}

impl Auth {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User => "user",
            Self::Owner => "owner",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
        }
    }

    fn answers(self, caller: Caller) -> Answers {
        match (self, caller) {
            (Self::Anonymous, _) => Answers::Success,
            (_, Caller::Anonymous) => Answers::Refusal(401, "unauthenticated"),
            (_, Caller::Banned) => Answers::Refusal(401, "session_revoked"),
            (Self::User, _)
            | (Self::Owner, Caller::Owner)
            | (Self::Moderator, Caller::Owner | Caller::Moderator)
            | (Self::Admin, Caller::Admin) => Answers::Success,
            (Self::Owner | Self::Moderator | Self::Admin, _) => FORBIDDEN,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    Success,
    /// Status and code: kept out, or let in and refused for what was asked.
    Refusal(u16, &'static str),
}

impl Answers {
    pub(crate) fn fits(self, (status, code): (u16, &str)) -> bool {
        match self {
            Self::Success => (200..300).contains(&status),
            Self::Refusal(expected, why) => (status, code) == (expected, why),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) operation: &'static str,
    pub(crate) auth: Auth,
    /// Method and path.
    pub(crate) call: &'static str,
    /// [`PICTURE`] stands for one; everything else is sent as JSON.
    pub(crate) body: Value,
    /// What has to be there that nothing names.
    pub(crate) with: &'static [&'static str],
    otherwise: Vec<(Caller, Answers)>,
}

impl Row {
    pub(crate) fn answers(&self, caller: Caller) -> Answers {
        let otherwise = self.otherwise.iter().find(|(who, _)| *who == caller);
        otherwise.map_or_else(|| self.auth.answers(caller), |(_, answers)| *answers)
    }

    /// With no body yet.
    pub(crate) fn bare(&self) -> Self {
        Self { body: Value::Null, ..self.clone() }
    }

    fn sends(self, body: Value) -> Self {
        Self { body, ..self }
    }

    fn with(self, with: &'static [&'static str]) -> Self {
        Self { with, ..self }
    }

    fn but(mut self, callers: &[Caller], answers: Answers) -> Self {
        self.otherwise.extend(callers.iter().map(|caller| (*caller, answers)));
        self
    }
}

/// A body that is a picture.
pub(crate) const PICTURE: &str = "<picture>";

fn row(operation: &'static str, auth: Auth, call: &'static str) -> Row {
    Row { operation, auth, call, body: Value::Null, with: &[], otherwise: Vec::new() }
}

pub(crate) fn all() -> Vec<Row> {
    [
        auth(),
        streams(),
        users(),
        categories(),
        search(),
        chat(),
        notifications(),
        subscriptions(),
        billing(),
        webhooks(),
        admin(),
        documentation(),
    ]
    .concat()
}

pub(crate) fn auth() -> Vec<Row> {
    use Auth::{Anonymous, User};
    let password = || json!({ "password": "<password>" });
    vec![
        row("authRegistration", Anonymous, "GET /api/registration"),
        row("authRegister", Anonymous, "POST /api/auth/register").sends(json!({
            "username": "<name of nobody>", "email": "<name of nobody>@example.test", "password": "<password>",
        })),
        row("authLogin", Anonymous, "POST /api/auth/login")
            .sends(json!({ "login": "<name of the caller>", "password": "<password>" }))
            .but(&[Caller::Banned], Answers::Refusal(403, "banned")),
        row("authRefresh", Anonymous, "POST /api/auth/refresh")
            .sends(json!({ "refreshToken": "<refresh token>" }))
            .but(&[Caller::Banned], Answers::Refusal(403, "banned")),
        row("authLogout", Anonymous, "POST /api/auth/logout"),
        row("authSessions", User, "GET /api/auth/sessions"),
        row("authEndOtherSessions", User, "DELETE /api/auth/sessions"),
        // Nobody learns of other people's sessions.
        row("authEndSession", User, "DELETE /api/auth/sessions/<session>").but(&NOT_OWNER, NOT_FOUND),
        row("authChangePassword", User, "POST /api/auth/password")
            .sends(json!({ "password": "<password>", "newPassword": "a better horse battery" })),
        row("authForgotPassword", Anonymous, "POST /api/auth/password/forgot")
            .sends(json!({ "email": "<name of nobody>@example.test" })),
        row("authResetPassword", Anonymous, "POST /api/auth/password/reset")
            .sends(json!({ "token": "<reset token>", "newPassword": "a better horse battery" })),
        row("authVerifyEmail", Anonymous, "POST /api/auth/email/verify")
            .sends(json!({ "token": "<verification token>" })),
        row("authSendVerification", User, "POST /api/auth/email/verification"),
        // The keys of these people were never sealed for them.
        row("authStreamKey", User, "GET /api/auth/stream-key")
            .but(&LOGGED_IN, Answers::Refusal(409, "stream_key_unreadable")),
        row("authRotateStreamKey", User, "POST /api/auth/stream-key/rotate").sends(password()),
    ]
}

pub(crate) fn streams() -> Vec<Row> {
    use Auth::{Anonymous, Owner, User};
    vec![
        row("streamsList", Anonymous, "GET /api/streams"),
        row("streamsCreate", User, "POST /api/streams").sends(json!({ "title": "Soon" })),
        row("streamsMine", User, "GET /api/streams/mine").with(&["stream"]).but(&NOT_OWNER, NOT_FOUND),
        row("streamsOpen", User, "GET /api/streams/open"),
        row("streamsFailed", User, "GET /api/streams/failed"),
        row("streamsShow", Anonymous, "GET /api/streams/<stream>"),
        row("streamsEdit", Owner, "PATCH /api/streams/<stream>").sends(json!({ "title": "Now" })),
        row("streamsEnd", Owner, "DELETE /api/streams/<stream>").but(&[Caller::Admin], Answers::Success),
        row("streamsHealth", Owner, "GET /api/streams/<stream>/health"),
        row("streamsSetThumbnail", Owner, "PUT /api/streams/<stream>/thumbnail").sends(PICTURE.into()),
        row("streamsRemoveThumbnail", Owner, "DELETE /api/streams/<stream>/thumbnail"),
        row("streamsWatching", Anonymous, "POST /api/streams/<stream>/watching"),
    ]
}

pub(crate) fn users() -> Vec<Row> {
    use Auth::{Anonymous, Owner, User};
    vec![
        row("usersMe", User, "GET /api/users/me"),
        row("usersEdit", User, "PATCH /api/users/me").sends(json!({ "bio": "Hello" })),
        row("usersDelete", User, "DELETE /api/users/me").sends(json!({ "password": "<password>" })),
        row("usersSetAvatar", User, "PUT /api/users/me/avatar").sends(PICTURE.into()),
        row("usersRemoveAvatar", User, "DELETE /api/users/me/avatar"),
        row("usersFollowingLive", User, "GET /api/users/me/following/live"),
        row("usersBlocks", User, "GET /api/users/me/blocks"),
        row("usersBlock", User, "PUT /api/users/me/blocks/<viewer>"),
        row("usersUnblock", User, "DELETE /api/users/me/blocks/<viewer>"),
        row("usersShow", Anonymous, "GET /api/users/<owner>"),
        row("usersStreams", Anonymous, "GET /api/users/<owner>/streams"),
        row("usersFollow", User, "POST /api/users/<viewer>/follow"),
        row("usersUnfollow", User, "DELETE /api/users/<viewer>/follow"),
        row("usersFollowers", Owner, "GET /api/users/<owner>/followers"),
        row("usersFollowing", Owner, "GET /api/users/<owner>/following"),
    ]
}

pub(crate) fn categories() -> Vec<Row> {
    use Auth::{Admin, Anonymous};
    vec![
        row("categoriesList", Anonymous, "GET /api/categories"),
        row("categoriesShow", Anonymous, "GET /api/categories/<category>"),
        row("categoriesStreams", Anonymous, "GET /api/categories/<category>/streams"),
        row("categoriesCreate", Admin, "POST /api/categories")
            .sends(json!({ "name": "<word of nobody>", "slug": "<word of nobody>" })),
        row("categoriesEdit", Admin, "PATCH /api/categories/<category>")
            .sends(json!({ "name": "<word of nobody>" })),
        row("categoriesSetIcon", Admin, "PUT /api/categories/<category>/icon").sends(PICTURE.into()),
        row("categoriesRemoveIcon", Admin, "DELETE /api/categories/<category>/icon"),
        row("categoriesRemove", Admin, "DELETE /api/categories/<category>"),
    ]
}

pub(crate) fn search() -> Vec<Row> {
    vec![row("search", Auth::Anonymous, "GET /api/search?q=music")]
}

pub(crate) fn chat() -> Vec<Row> {
    use Auth::{Anonymous, Moderator, Owner, User};
    // Admins keep order everywhere.
    let moderator = |operation, call| row(operation, Moderator, call).but(&[Caller::Admin], Answers::Success);
    vec![
        row("chatHistory", Anonymous, "GET /api/chat/<stream>"),
        row("chatSend", User, "POST /api/chat/<stream>/messages").sends(json!({ "message": "hola" })),
        // A viewer's.
        row("chatRemove", Owner, "DELETE /api/chat/<stream>/messages/<message>")
            .but(&[Caller::Moderator, Caller::Admin], Answers::Success),
        row("chatSettings", Anonymous, "GET /api/chat/<stream>/settings"),
        moderator("chatChangeSettings", "PATCH /api/chat/<stream>/settings")
            .sends(json!({ "slowSeconds": 1 })),
        moderator("chatBans", "GET /api/chat/<stream>/bans"),
        moderator("chatBan", "PUT /api/chat/<stream>/bans/<viewer>").sends(json!({ "durationSeconds": 60 })),
        moderator("chatUnban", "DELETE /api/chat/<stream>/bans/<viewer>"),
        row("chatModerators", Anonymous, "GET /api/chat/<stream>/moderators"),
        row("chatAppoint", Owner, "PUT /api/chat/<stream>/moderators/<viewer>"),
        row("chatDismiss", Owner, "DELETE /api/chat/<stream>/moderators/<viewer>"),
        moderator("chatTerms", "GET /api/chat/<stream>/terms"),
        moderator("chatBlock", "POST /api/chat/<stream>/terms").sends(json!({ "term": "ham" })),
        moderator("chatUnblock", "DELETE /api/chat/<stream>/terms/<term>"),
        moderator("chatModlog", "GET /api/chat/<stream>/modlog"),
    ]
}

pub(crate) fn notifications() -> Vec<Row> {
    use Auth::User;
    vec![
        row("notificationsList", User, "GET /api/notifications"),
        row("notificationsMarkAll", User, "PATCH /api/notifications").sends(json!({ "read": true })),
        row("notificationsUnread", User, "GET /api/notifications/unread"),
        row("notificationsPreferences", User, "GET /api/notifications/preferences"),
        row("notificationsSetPreferences", User, "PUT /api/notifications/preferences")
            .sends(json!({ "streamStarted": true, "newFollower": false })),
        // Nobody learns of other people's.
        row("notificationsMark", User, "PATCH /api/notifications/<notification>")
            .sends(json!({ "read": true }))
            .but(&NOT_OWNER, NOT_FOUND),
    ]
}

pub(crate) fn subscriptions() -> Vec<Row> {
    use Auth::{Owner, User};
    // Nobody learns of other people's.
    let own = |operation, call| row(operation, User, call).but(&NOT_OWNER, NOT_FOUND);
    vec![
        row("subscriptionsCreate", User, "POST /api/subscriptions")
            .sends(json!({ "streamerId": "<seller>", "tier": "pro", "paymentMethod": "card" })),
        row("subscriptionsList", Owner, "GET /api/subscriptions/<owner>")
            .but(&[Caller::Admin], Answers::Success),
        row("subscriptionsOfStreamer", Owner, "GET /api/subscriptions/streamer/<owner>")
            .but(&[Caller::Admin], Answers::Success),
        own("subscriptionsChange", "PATCH /api/subscriptions/<paid subscription>")
            .sends(json!({ "tier": "premium" })),
        own("subscriptionsCancel", "DELETE /api/subscriptions/<paid subscription>"),
        own("subscriptionsResume", "POST /api/subscriptions/<paid subscription>/resume"),
        own("subscriptionsWithdraw", "POST /api/subscriptions/<paid subscription>/withdraw"),
        own("subscriptionsCheckout", "GET /api/checkouts/<checkout>"),
    ]
}

pub(crate) fn billing() -> Vec<Row> {
    use Auth::{Anonymous, User};
    vec![
        row("billingTerms", Anonymous, "GET /api/billing"),
        row("billingOffer", Anonymous, "GET /api/users/<owner>/plans"),
        row("billingOwnPlans", User, "GET /api/billing/plans"),
        row("billingSell", User, "PUT /api/billing/plans/<tier>").sends(json!({ "amount": 999 })),
        row("billingStopSelling", User, "DELETE /api/billing/plans/<tier>"),
        row("billingOwed", User, "GET /api/billing/owed"),
        row("billingLedger", User, "GET /api/billing/ledger.csv"),
        row("billingPayments", User, "GET /api/billing/payments"),
    ]
}

pub(crate) fn webhooks() -> Vec<Row> {
    use Auth::User;
    // Nobody learns of other people's.
    let own = |operation, call| row(operation, User, call).but(&NOT_OWNER, NOT_FOUND);
    vec![
        row("webhooksCreate", User, "POST /api/event-subscriptions").sends(json!({
            "callback": "https://bot.example/hook", "types": ["stream_started"], "secret": "a-secret-of-ours",
        })),
        row("webhooksList", User, "GET /api/event-subscriptions"),
        own("webhooksShow", "GET /api/event-subscriptions/<subscription>"),
        own("webhooksRemove", "DELETE /api/event-subscriptions/<subscription>"),
    ]
}

pub(crate) fn admin() -> Vec<Row> {
    use Auth::Admin;
    vec![
        row("adminDeadLetters", Admin, "GET /api/admin/dead-letters"),
        row("adminRetry", Admin, "POST /api/admin/dead-letters/<dead letter>/retry"),
        row("adminRegistration", Admin, "GET /api/admin/registration"),
        row("adminSetRegistration", Admin, "PATCH /api/admin/registration").sends(json!({ "mode": "open" })),
        row("adminInvitations", Admin, "GET /api/admin/invitations"),
        row("adminInvite", Admin, "POST /api/admin/invitations").sends(json!({ "uses": 1 })),
        row("adminRemoveInvitation", Admin, "DELETE /api/admin/invitations/<invitation>"),
        row("adminUsers", Admin, "GET /api/admin/users"),
        row("adminBan", Admin, "PUT /api/admin/users/<viewer>/ban").sends(json!({ "reason": "enough" })),
        row("adminUnban", Admin, "DELETE /api/admin/users/<viewer>/ban"),
        row("adminRemoveAvatar", Admin, "DELETE /api/admin/users/<viewer>/avatar"),
        row("adminSetRole", Admin, "PUT /api/admin/users/<viewer>/role").sends(json!({ "role": "admin" })),
        row("adminAuditLog", Admin, "GET /api/admin/audit-log"),
        row("adminFigures", Admin, "GET /api/admin/figures"),
    ]
}

pub(crate) fn documentation() -> Vec<Row> {
    vec![
        row("documentationOpenapi", Auth::Anonymous, "GET /api/openapi.json"),
        row("documentationPage", Auth::Anonymous, "GET /api/docs"),
    ]
}

const FORBIDDEN: Answers = Answers::Refusal(403, "forbidden");
const NOT_FOUND: Answers = Answers::Refusal(404, "not_found");
const NOT_OWNER: [Caller; 3] = [Caller::Other, Caller::Moderator, Caller::Admin];
const LOGGED_IN: [Caller; 4] = [Caller::Other, Caller::Owner, Caller::Moderator, Caller::Admin];
