//! What is wrong, how badly, who says so, and what to do.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;

use crate::facts::time_of;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) place: Place,
    pub(crate) severity: Severity,
    /// For programs.
    pub(crate) kind: Kind,
    /// A clause in plain English, without a full stop.
    pub(crate) says: String,
    pub(crate) evidence: Vec<Evidence>,
    /// What to type or to look at next.
    pub(crate) advice: Vec<String>,
}

/// Where the fault is. Of several findings, the one in the earliest place explains the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Definitions,
    /// A broadcast ended, or is refused, for a reason of its own.
    Broadcast,
    Operator,
    /// The pod of a worker.
    Worker,
    Network,
    Pool,
    /// Before the routers, which refuse publishers while it does not answer.
    Api,
    Router,
    /// What is only known by its effect.
    Symptom,
    /// Viewers are affected, publishers are not.
    Edge,
}

/// How bad it is, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// It keeps what is asked about from being live.
    Problem,
    /// It is not live, and somebody wanted it so.
    Note,
    /// It may become a problem.
    Warning,
}

/// What kind of fault it is, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    NothingHere,
    DefinitionsMissing,
    DefinitionsOld,
    Unreadable,
    OperatorDown,
    NobodyLeads,
    RoleDown,
    Key,
    Capacity,
    Closed,
    Paused,
    NoPool,
    NoWarmWorker,
    Quota,
    Database,
    ImagePull,
    MissingSecret,
    Settings,
    Storage,
    Scheduling,
    Crash,
    NotReady,
    Network,
    Ffmpeg,
    QualitiesReduced,
    Unplayable,
    Silent,
    Ended,
    Waiting,
    NotThere,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NothingHere => "nothing-here",
            Self::DefinitionsMissing => "definitions-missing",
            Self::DefinitionsOld => "definitions-old",
            Self::Unreadable => "unreadable",
            Self::OperatorDown => "operator-down",
            Self::NobodyLeads => "nobody-leads",
            Self::RoleDown => "role-down",
            Self::Key => "key",
            Self::Capacity => "capacity",
            Self::Closed => "closed",
            Self::Paused => "paused",
            Self::NoPool => "no-pool",
            Self::NoWarmWorker => "no-warm-worker",
            Self::Quota => "quota",
            Self::Database => "database",
            Self::ImagePull => "image-pull",
            Self::MissingSecret => "missing-secret",
            Self::Settings => "settings",
            Self::Storage => "storage",
            Self::Scheduling => "scheduling",
            Self::Crash => "crash",
            Self::NotReady => "not-ready",
            Self::Network => "network",
            Self::Ffmpeg => "ffmpeg",
            Self::QualitiesReduced => "qualities-reduced",
            Self::Unplayable => "unplayable",
            Self::Silent => "silent",
            Self::Ended => "ended",
            Self::Waiting => "waiting",
            Self::NotThere => "not-there",
        }
    }
}

/// Which object said something, and when.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Evidence {
    pub(crate) object: String,
    pub(crate) at: Option<Timestamp>,
    pub(crate) said: String,
}

impl Evidence {
    pub(crate) fn new(object: impl Into<String>, at: Option<Timestamp>, said: impl Into<String>) -> Self {
        Self { object: object.into(), at, said: said.into() }
    }

    pub(crate) fn of_event(event: &Event) -> Self {
        let about = &event.involved_object;
        let object = format!(
            "Event on {} {}",
            about.kind.as_deref().unwrap_or_default(),
            about.name.as_deref().unwrap_or_default()
        );
        let said = format!(
            "{}: {}",
            event.reason.as_deref().unwrap_or_default(),
            event.message.as_deref().unwrap_or_default()
        );
        Self::new(object, time_of(event), said)
    }
}
