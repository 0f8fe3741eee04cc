//! Which keys an installation has, and who holds which.

/// One of an installation's keys. Each is 32 bytes and has one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The controller signs assignments with it (Ed25519). Workers hold its public half.
    Assignments,
    /// The router proves itself to workers with it, and the controller tells them its proofs' digests.
    Input,
    /// The edge proves itself to workers with it, and so does the controller, which reads their feeds.
    Feed,
    /// Edges sign viewers' tickets with it.
    Tickets,
    /// The api signs access tokens with it.
    Jwt,
    /// The api hashes stream keys with it.
    StreamKeyPepper,
    /// The api encrypts stream keys with it.
    StreamKeyEncryption,
    /// The api signs internal requests with it.
    CallerApi,
    /// The controller signs internal requests with it.
    CallerController,
    /// The edge signs internal requests with it.
    CallerEdge,
    /// The router signs internal requests with it.
    CallerRouter,
}

/// Who holds keys: a role with a folder, or in a cluster a Secret, of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// The controller of a cluster.
    Operator,
    /// The controller of one machine: it keeps the directory too, and so checks who asks.
    Controller,
    /// The streamers' door.
    IngestRouter,
    /// The viewers' door.
    HlsEdge,
    /// REST and web pages.
    Api,
    /// Holds public keys alone.
    TranscoderWorker,
}

impl Key {
    /// The name of its file, which is also its name in a Kubernetes Secret.
    pub fn file(self) -> &'static str {
        match self {
            Self::Assignments => "assignments",
            Self::Input => "input",
            Self::Feed => "feed",
            Self::Tickets => "tickets",
            Self::Jwt => "jwt",
            Self::StreamKeyPepper => "stream-key-pepper",
            Self::StreamKeyEncryption => "stream-key-encryption",
            Self::CallerApi => "caller-api",
            Self::CallerController => "caller-controller",
            Self::CallerEdge => "caller-hls-edge",
            Self::CallerRouter => "caller-ingest-router",
        }
    }

    /// What it is derived from a master secret for. Another word gives another key, and so a platform that does not know its
    /// own any more.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Assignments => "controller/assignments",
            Self::Input => "role/ingest-router",
            Self::Feed => "role/hls-edge",
            Self::Tickets => "hls-edge/tickets",
            Self::Jwt => "jwt",
            Self::StreamKeyPepper => "stream-key/pepper",
            Self::StreamKeyEncryption => "stream-key/encryption",
            Self::CallerApi => "caller/api",
            Self::CallerController => "caller/controller",
            Self::CallerEdge => "caller/hls-edge",
            Self::CallerRouter => "caller/ingest-router",
        }
    }

    /// Whether each key in its file has an id in front of it. What was encrypted names the key that it needs.
    pub fn has_ids(self) -> bool {
        self == Self::StreamKeyEncryption
    }

    /// Whether its file may hold earlier keys too. A stream key's hash is what it is found by, and the hash under another
    /// pepper is another one.
    pub fn can_be_changed(self) -> bool {
        self != Self::StreamKeyPepper
    }
}

impl Holder {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Controller => "controller",
            Self::IngestRouter => "ingest-router",
            Self::HlsEdge => "hls-edge",
            Self::Api => "api",
            Self::TranscoderWorker => "transcoder-worker",
        }
    }

    /// The keys that it cannot do without. It is given no others.
    pub fn keys(self) -> &'static [Key] {
        match self {
            Self::Operator => &[Key::Assignments, Key::Input, Key::Feed, Key::CallerController],
            Self::Controller => &[
                Key::Assignments,
                Key::Input,
                Key::Feed,
                Key::CallerController,
                Key::CallerApi,
                Key::CallerEdge,
                Key::CallerRouter,
            ],
            // Routers ask each other, and the api asks them.
            Self::IngestRouter => &[Key::Input, Key::CallerRouter, Key::CallerApi],
            Self::HlsEdge => &[Key::Feed, Key::Tickets, Key::CallerEdge],
            Self::Api => &[
                Key::Jwt,
                Key::StreamKeyPepper,
                Key::StreamKeyEncryption,
                Key::CallerApi,
                Key::CallerController,
                Key::CallerEdge,
                Key::CallerRouter,
            ],
            Self::TranscoderWorker => &[],
        }
    }

    /// Whether it signs or encrypts with one of its keys, or shows itself by it, rather than only checking others by it.
    pub fn uses(self, key: Key) -> bool {
        let only_checks: &[Key] = match self {
            Self::Operator => &[Key::Input],
            Self::Controller => &[Key::Input, Key::CallerApi, Key::CallerEdge, Key::CallerRouter],
            Self::IngestRouter => &[Key::CallerApi],
            Self::Api => &[Key::CallerController, Key::CallerEdge, Key::CallerRouter],
            Self::HlsEdge | Self::TranscoderWorker => &[],
        };
        self.keys().contains(&key) && !only_checks.contains(&key)
    }

    /// The names of all files that it may have.
    pub fn files(self) -> impl Iterator<Item = &'static str> {
        let public = (self == Self::TranscoderWorker).then_some(CONTROLLER_KEY);
        self.keys().iter().map(|key| key.file()).chain(public)
    }
}

/// All of them.
pub const HOLDERS: [Holder; 6] = [
    Holder::Operator,
    Holder::Controller,
    Holder::IngestRouter,
    Holder::HlsEdge,
    Holder::Api,
    Holder::TranscoderWorker,
];

/// The worker's file: the public halves of the controller's [`Key::Assignments`], in base64, as `CAUDAL_CONTROLLER_KEY` takes
/// them.
pub const CONTROLLER_KEY: &str = "controllerKey";
