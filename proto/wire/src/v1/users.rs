//! Users: USER_CREATE, USER_DELETE, USER_UPDATE, USER_LIST, USER_GET, PASSWORD_CHANGE, ROLE_LIST.

use crate::codec::layout;

layout! {
    /// USER_CREATE, USER_UPDATE and PASSWORD_CHANGE request. Which fields count depends on the op.
    pub struct UserSpec {
        /// User name.
        pub user: String,
        /// New password; empty leaves it in USER_UPDATE.
        pub password: String,
        /// The password so far, for PASSWORD_CHANGE of one's own.
        pub old_password: String,
        /// Role names.
        pub roles: Vec<String>,
        /// Whether the user may log in; missing means not.
        pub enabled: Option<bool>,
    }

    /// USER_DELETE and USER_GET request.
    pub struct UserRef {
        /// User name.
        pub user: String,
    }

    /// USER_GET and USER_CREATE reply, and an item of USER_LIST's.
    pub struct UserInfo {
        /// User name.
        pub user: String,
        /// Role names.
        pub roles: Vec<String>,
        /// `read`, `write`, `admin`; filled by USER_GET only.
        pub permissions: Vec<String>,
        /// Whether the user may log in.
        pub enabled: bool,
        /// Unix seconds; 0 in USER_CREATE's reply.
        pub created_s: i64,
        /// Unix seconds; 0 in USER_CREATE's reply.
        pub updated_s: i64,
    }

    /// USER_LIST reply.
    pub struct UserList {
        /// All users.
        pub users: Vec<UserInfo>,
    }

    /// A role.
    pub struct RoleInfo {
        /// Role name.
        pub name: String,
        /// `read`, `write`, `admin`.
        pub permissions: Vec<String>,
        /// For people.
        pub description: String,
    }

    /// ROLE_LIST reply.
    pub struct RoleList {
        /// All roles, in no order.
        pub roles: Vec<RoleInfo>,
    }
}
