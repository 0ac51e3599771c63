use crate::secret::Secret;

/// Login of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthOptions {
    /// Every client must log in.
    pub enabled: bool,
    /// Clients without login may use public topics.
    pub allow_anonymous: bool,
    /// Topics without an access list are open to any logged-in user.
    pub default_public: bool,
    /// First administrator.
    pub admin_username: String,
    /// Password of the first administrator; generated and printed once unless set.
    pub admin_password: Option<Secret>,
}

impl Default for AuthOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            allow_anonymous: false,
            default_public: false,
            admin_username: "admin".to_owned(),
            admin_password: None,
        }
    }
}
