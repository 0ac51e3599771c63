//! Access lists: ACL_SET, ACL_GET, ACL_DELETE, ACL_LIST. Get and delete are [`super::TopicRef`] requests.

use crate::codec::layout;

layout! {
    /// ACL_SET request.
    pub struct AclSet {
        /// Topic name or pattern.
        pub topic: String,
        /// Open to any logged-in user.
        pub public: bool,
        /// User names.
        pub users: Vec<String>,
        /// Role names.
        pub roles: Vec<String>,
    }

    /// ACL_SET and ACL_DELETE reply.
    pub struct AclDone {
        /// Whether it was done.
        pub ok: bool,
        /// Topic name or pattern.
        pub topic: String,
    }

    /// ACL_GET reply.
    pub struct AclInfo {
        /// Topic name or pattern.
        pub topic: String,
        /// Whether the topic has an entry.
        pub exists: bool,
        /// Open to any logged-in user.
        pub public: bool,
        /// What holds for topics without an entry.
        pub default_public: bool,
        /// User names.
        pub users: Vec<String>,
        /// Role names.
        pub roles: Vec<String>,
    }

    /// An item of ACL_LIST's reply.
    pub struct AclEntry {
        /// Topic name or pattern.
        pub topic: String,
        /// Whether the topic has an entry.
        pub exists: bool,
        /// Open to any logged-in user.
        pub public: bool,
        /// User names.
        pub users: Vec<String>,
        /// Role names.
        pub roles: Vec<String>,
    }

    /// ACL_LIST reply.
    pub struct AclList {
        /// All entries.
        pub entries: Vec<AclEntry>,
        /// What holds for topics without an entry.
        pub default_public: bool,
    }
}
