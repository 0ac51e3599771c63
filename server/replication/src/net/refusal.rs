//! Why a connection is not let in.

use std::fmt;

/// The numbers are on the wire: one is never used again for another reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// Bytes that no FlyMQ node sends here: another protocol, a packet that is too long, or one that has no place.
    Protocol = 1,
    /// A version of the protocol that this build does not speak.
    Version = 2,
    /// This node is in no cluster.
    NotInCluster = 3,
    WrongCluster = 4,
    /// It does not have the secret of the cluster.
    WrongSecret = 5,
    /// Another member was meant: a new node at an old address.
    WrongMember = 6,
    /// No broker of the cluster, as far as this node knows.
    UnknownMember = 7,
    /// It comes from a registration that is over.
    StaleEpoch = 8,
    /// A join token that is wrong or has ended.
    WrongToken = 9,
    /// It did not get through the handshake in time.
    Timeout = 10,
    /// It closed the connection before the handshake was done.
    Closed = 11,
    /// Too many others are in their handshakes.
    TooMany = 12,
    /// No certificate of this cluster, or not the one of the member that it says it is.
    Certificate = 13,
    /// Not encrypted, where the cluster is.
    PlainText = 14,
}

impl Refusal {
    pub const ALL: [Self; 14] = [
        Self::Protocol,
        Self::Version,
        Self::NotInCluster,
        Self::WrongCluster,
        Self::WrongSecret,
        Self::WrongMember,
        Self::UnknownMember,
        Self::StaleEpoch,
        Self::WrongToken,
        Self::Timeout,
        Self::Closed,
        Self::TooMany,
        Self::Certificate,
        Self::PlainText,
    ];

    /// In metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Version => "version",
            Self::NotInCluster => "not_in_cluster",
            Self::WrongCluster => "wrong_cluster",
            Self::WrongSecret => "wrong_secret",
            Self::WrongMember => "wrong_member",
            Self::UnknownMember => "unknown_member",
            Self::StaleEpoch => "stale_epoch",
            Self::WrongToken => "wrong_token",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::TooMany => "too_many",
            Self::Certificate => "certificate",
            Self::PlainText => "plain_text",
        }
    }

    /// The other side may be told: it speaks the protocol, and waits.
    pub(super) fn is_told(self) -> bool {
        !matches!(self, Self::Protocol | Self::Timeout | Self::Closed | Self::TooMany)
    }
}

/// A refusal with its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) reason: Refusal,
    pub(super) text: String,
}

impl Refused {
    pub(super) fn new(reason: Refusal, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
