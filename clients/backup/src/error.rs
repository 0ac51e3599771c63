//! Every way in which a backup or a restore can fail, with what to do next.

use flymq_client::ClientError;

/// Why a backup or a restore ended. After one from a verification nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Broker(#[from] ClientError),
    #[error("{what}: {reason}")]
    Storage { what: String, reason: String },
    /// No manifest: not a backup, or one that was cut off before its end.
    #[error("{place} holds no whole backup")]
    NoBackup { place: String },
    #[error("{place} holds no backup {id}")]
    UnknownBackup { place: String, id: String },
    #[error("{file} is damaged: {reason}")]
    Damaged { file: String, reason: String },
    #[error("{file} is missing")]
    Missing { file: String },
    #[error("{file} is not a FlyMQ backup")]
    Foreign { file: String },
    #[error("{file} has backup format {found}; this program knows formats up to {known}")]
    Newer { file: String, found: u32, known: u32 },
    #[error("backup {id} is encrypted, and FLYMQ_BACKUP_KEY is not set")]
    KeyMissing { id: String },
    #[error("backup {id} was encrypted with key {needed}; FLYMQ_BACKUP_KEY is key {given}")]
    WrongKey { id: String, needed: String, given: String },
    #[error("FLYMQ_BACKUP_KEY is not 64 hexadecimal characters")]
    BadKey,
    #[error("{place}: {reason}")]
    BadPlace { place: String, reason: String },
    #[error("the backup holds no topic {topic}")]
    TopicNotInBackup { topic: String },
    #[error("{topic} is named twice as the topic to restore into")]
    SameTarget { topic: String },
    /// Records of a backup never mix with others.
    #[error("topic {topic} exists already")]
    TopicExists { topic: String },
    #[error("topic {topic} is itself being restored from backup {backup}")]
    TopicRestoring { topic: String, backup: String },
    #[error("topic {topic} was deleted or made anew during the backup")]
    TopicReplaced { topic: String },
    #[error("offsets {first} to {last} of {topic}/{partition} are damaged on the broker's disk")]
    SourceDamaged { topic: String, partition: i32, first: u64, last: u64 },
    #[error("{topic}/{partition}: {reason}")]
    Broken { topic: String, partition: i32, reason: String },
}

impl BackupError {
    /// A file that is not what it should be.
    pub fn damaged(file: impl std::fmt::Display, reason: impl std::fmt::Display) -> Self {
        Self::Damaged { file: file.to_string(), reason: reason.to_string() }
    }

    /// Name of the kind of failure, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Broker(error) => error.code_name(),
            Self::Storage { .. } => "BACKUP_STORAGE",
            Self::NoBackup { .. } | Self::UnknownBackup { .. } => "BACKUP_NOT_FOUND",
            Self::Damaged { .. } | Self::Missing { .. } => "BACKUP_DAMAGED",
            Self::Foreign { .. } => "BACKUP_FOREIGN",
            Self::Newer { .. } => "BACKUP_TOO_NEW",
            Self::KeyMissing { .. } | Self::WrongKey { .. } | Self::BadKey => "BACKUP_KEY",
            Self::BadPlace { .. } => "BACKUP_PLACE",
            Self::TopicNotInBackup { .. } | Self::SameTarget { .. } => "BACKUP_TOPIC",
            Self::TopicExists { .. } | Self::TopicRestoring { .. } => "TOPIC_ALREADY_EXISTS",
            Self::TopicReplaced { .. } => "CONFLICT",
            Self::SourceDamaged { .. } => "CORRUPT_DATA",
            Self::Broken { .. } => "PROTOCOL",
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        let text = match self {
            Self::Broker(error) => &error.hint,
            Self::Storage { .. } => {
                "Mend what the storage says and run the same command again: what is there already is kept."
            }
            Self::NoBackup { .. } => {
                "Name the directory or URL that `backup create` wrote to. A backup that was cut off has no manifest: run it again."
            }
            Self::UnknownBackup { .. } => "`flymq-cli backup list` names those that are there.",
            Self::Damaged { .. } | Self::Missing { .. } => {
                "Nothing was restored. Use another backup (`flymq-cli backup list`) or another copy of this one."
            }
            Self::Foreign { .. } => "Name a manifest that `flymq-cli backup create` wrote.",
            Self::Newer { .. } => "Use the flymq-cli that made it, or a newer one.",
            Self::KeyMissing { .. } | Self::WrongKey { .. } => {
                "Set FLYMQ_BACKUP_KEY to the key that the backup was made with."
            }
            Self::BadKey => {
                "Make a key with `openssl rand -hex 32`, and keep it: without it the backup cannot be read."
            }
            Self::BadPlace { .. } => {
                "Use a directory, or with a build that has the feature object-storage a URL: s3://, gs://, az://."
            }
            Self::TopicNotInBackup { .. } => "`flymq-cli backup inspect` names the topics.",
            Self::SameTarget { .. } => "Give each topic a name of its own: --topic a:b.",
            Self::TopicExists { .. } => {
                "Restore under another name (--topic a:b), delete the topic first, or pass over those that exist with --skip-existing."
            }
            Self::TopicRestoring { .. } => "Finish that restore by running it again, or delete the topic.",
            Self::TopicReplaced { .. } => "Run the backup again.",
            Self::SourceDamaged { .. } => {
                "Back up what is readable with --skip-damaged; the manifest then names the range."
            }
            Self::Broken { .. } => "Run the command again; if it stays so, please report it.",
        };
        text.to_owned()
    }

    /// Whether what was typed does not fit.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::BadKey | Self::BadPlace { .. } | Self::TopicNotInBackup { .. } | Self::SameTarget { .. }
        )
    }
}
