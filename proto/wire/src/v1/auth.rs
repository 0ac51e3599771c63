//! Login: AUTH, WHOAMI. WHOAMI's request is [`super::Empty`].

use crate::codec::{DecodeError, Layout, Reader, Str8, Writer, layout};

layout! {
    /// AUTH request.
    pub struct Login {
        /// User name.
        pub user: String,
        /// Password in clear text.
        pub password: String,
    }
}

/// AUTH and WHOAMI reply.
///
/// The clients in the field read the roles in two ways: Go and, for AUTH, Python as str8 followed by a str16 error;
/// Java and, for WHOAMI, Python as str16 followed by a list32 of permissions. What [`Layout::encode`] writes for a
/// success suits both:
///
/// ```text
/// bool ok · str16 user · u32 2n · (00 len role) × n · 00 00 × n · 00 00 00 00
/// ```
///
/// A str8 reader sees `"" role1 "" role2 …` and an empty error. A str16 reader sees the roles, `n` empty ones, and no
/// permissions. Empty roles are dropped by [`Layout::decode`], which is a str8 reader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoginReply {
    /// Whether the user is logged in.
    pub ok: bool,
    /// User name.
    pub user: String,
    /// Roles of the user; none when not `ok`.
    pub roles: Vec<String>,
    /// Why not, when not `ok`.
    pub error: String,
}

impl Layout for LoginReply {
    const MIN_LEN: usize = 9;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (ok, user) = (reader.get()?, reader.get()?);
        let roles: Vec<Str8> = reader.get()?;
        let roles = roles.into_iter().map(|role| role.0).filter(|role| !role.is_empty()).collect();
        Ok(Self { ok, user, roles, error: reader.get()? })
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put(&self.ok);
        writer.put(&self.user);
        if !self.ok {
            writer.put(&0u32);
            writer.put(&self.error);
            return;
        }
        writer.put_u32_len(self.roles.len() * 2);
        for role in &self.roles {
            writer.put(&0u8);
            writer.put_str8(role);
        }
        self.roles.iter().for_each(|_| writer.put(&0u16));
        writer.put(&0u32);
    }
}
