//! The secret that members share, and what is derived from it: the key of their handshakes, and join tokens that any
//! member can check without having been told of them.

use std::fmt;
use std::sync::Arc;

use flymq_types::{Rng, Timestamp};
use ring::hmac;

/// Begins the tokens that a cluster makes; another text is the cluster token itself.
const TOKEN_PREFIX: &str = "fmqj";

/// Begins a secret that has a seed; the seed and a dash follow, then the token.
const SEED_PREFIX: &str = "fmqs-";
/// 32 bytes in hexadecimal digits.
const SEED_LEN: usize = 64;

/// What makes a node a member: the cluster token, which users may choose and which lets nodes join, and a seed of 32
/// random bytes that the founder makes. The seed proves membership and certifies nodes, so that nothing which others see of
/// it can be guessed from a short token; it goes to those who have joined, never to users.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterSecret(Arc<str>);

/// Not the secret: it must not get into logs.
impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(..)")
    }
}

impl ClusterSecret {
    /// As it was kept, or a token that the user has set. None where there is nothing in it.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// Of a new cluster, with a token of 32 random bytes.
    pub fn random(rng: &dyn Rng) -> Self {
        Self(random_hex(rng).into()).founded(rng)
    }

    /// Of a new cluster with this token: with a seed. One that has a seed keeps it.
    #[must_use]
    pub fn founded(self, rng: &dyn Rng) -> Self {
        if self.seed().is_some() {
            return self;
        }
        Self(format!("{SEED_PREFIX}{}-{}", random_hex(rng), self.0).into())
    }

    /// To be kept, or handed to a node that has joined: token and seed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What users may see and give to nodes that are to join.
    pub fn token(&self) -> &str {
        self.parts().1
    }

    pub(super) fn seed(&self) -> Option<&str> {
        self.parts().0
    }

    fn parts(&self) -> (Option<&str>, &str) {
        parts(&self.0)
    }

    /// A token that lets nodes join until `expires`; every member takes it.
    pub fn join_token(&self, expires: Timestamp, rng: &dyn Rng) -> String {
        let mut id = [0; 8];
        rng.fill(&mut id);
        let public = format!("{TOKEN_PREFIX}-{}-{}", hex(&id), expires.as_millis().div_euclid(1_000));
        let mac = self.token_mac(&public);
        format!("{public}-{mac}")
    }

    /// What members prove to each other.
    pub(super) fn member_key(&self) -> hmac::Key {
        derive(self.seed().unwrap_or(&self.0), "flymq member")
    }

    /// What a joining node has to prove that shows this public part of a token. None: no token of ours, or one that has ended.
    pub(super) fn join_key(&self, public: &str, now: Timestamp) -> Option<hmac::Key> {
        if public.is_empty() {
            return Some(derive(self.token(), "flymq join"));
        }
        let expires: i64 = public.rsplit_once('-')?.1.parse().ok()?;
        (now.as_millis() < expires.saturating_mul(1_000))
            .then(|| derive(&self.token_mac(public), "flymq join"))
    }

    fn token_mac(&self, public: &str) -> String {
        hex(hmac::sign(&derive(self.seed().unwrap_or(&self.0), "flymq join token"), public.as_bytes())
            .as_ref())
    }
}

/// Seed and token.
fn parts(secret: &str) -> (Option<&str>, &str) {
    let seeded = || {
        let (seed, token) = secret.strip_prefix(SEED_PREFIX)?.split_at_checked(SEED_LEN)?;
        let token = token.strip_prefix('-').filter(|token| !token.is_empty())?;
        seed.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some((Some(seed), token))
    };
    seeded().unwrap_or((None, secret))
}

/// What a joining node shows of its token, and what it proves.
pub(super) fn token_parts(token: &str) -> (&str, hmac::Key) {
    let (_, token) = parts(token.trim());
    let made = token.starts_with(TOKEN_PREFIX) && token.matches('-').count() == 3;
    match token.rsplit_once('-') {
        Some((public, mac)) if made => (public, derive(mac, "flymq join")),
        Some(_) | None => ("", derive(token, "flymq join")),
    }
}

fn derive(secret: &str, label: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, derive_bytes(secret, label).as_ref())
}

/// 32 bytes that tell nothing of the secret, nor of what is derived for another label.
pub(super) fn derive_bytes(secret: &str, label: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), label.as_bytes())
}

fn random_hex(rng: &dyn Rng) -> String {
    let mut bytes = [0; SEED_LEN / 2];
    rng.fill(&mut bytes);
    hex(&bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use flymq_types::SeededRng;

    use super::*;

    fn same(one: &hmac::Key, other: &hmac::Key) -> bool {
        hmac::sign(one, b"x").as_ref() == hmac::sign(other, b"x").as_ref()
    }

    #[test]
    fn a_made_token_is_taken_until_it_ends_and_only_by_its_cluster() {
        let rng = SeededRng::new(1);
        let (ours, theirs) = (ClusterSecret::random(&rng), ClusterSecret::random(&rng));
        let token = ours.join_token(Timestamp(60_000), &rng);
        let (public, proved) = token_parts(&token);
        let key = ours.join_key(public, Timestamp(59_999)).expect("not ended");
        assert!(same(&key, &proved));
        assert!(ours.join_key(public, Timestamp(60_000)).is_none(), "ended");
        assert!(!same(&theirs.join_key(public, Timestamp(0)).expect("it looks fine"), &proved));
        let later = public.replace("-60", "-9999999");
        assert_ne!(later, public);
        let forged = ours.join_key(&later, Timestamp(0)).expect("it looks fine");
        assert!(!same(&forged, &proved), "the end of a token cannot be moved");
    }

    #[test]
    fn the_cluster_token_itself_lets_nodes_join_but_proves_no_membership() {
        let secret = ClusterSecret::new(" fmqj-my own-words \n").expect("not empty");
        let (public, proved) = token_parts("fmqj-my own-words");
        assert_eq!(public, "");
        assert!(same(&secret.join_key(public, Timestamp(0)).expect("always taken"), &proved));
        assert!(!same(&secret.member_key(), &proved));
        assert_eq!(ClusterSecret::new(" "), None);
        assert_eq!(format!("{secret:?}"), "ClusterSecret(..)");
    }

    #[test]
    fn a_founded_secret_has_a_seed_that_its_token_does_not_tell() {
        let rng = SeededRng::new(2);
        let chosen = ClusterSecret::new("fmqs-short").expect("not empty");
        assert_eq!((chosen.seed(), chosen.token()), (None, "fmqs-short"));
        let founded = chosen.clone().founded(&rng);
        assert_eq!(founded.token(), "fmqs-short");
        assert_eq!(founded.seed().map(str::len), Some(SEED_LEN));
        assert_eq!(founded.clone().founded(&rng), founded, "it keeps its seed");
        assert_ne!(chosen.clone().founded(&rng), founded, "another cluster has another one");
        assert_eq!(ClusterSecret::new(founded.as_str()), Some(founded.clone()), "as it is kept");
        assert!(!same(&founded.member_key(), &chosen.member_key()));
        let (public, proved) = token_parts("fmqs-short");
        assert!(same(&founded.join_key(public, Timestamp(0)).expect("always taken"), &proved));
        let random = ClusterSecret::random(&rng);
        assert!(random.seed().is_some_and(|seed| !random.token().contains(seed)));
    }

    #[test]
    fn garbage_is_no_token() {
        let secret = ClusterSecret::new("s").expect("not empty");
        for public in ["x", "-", "fmqj-1-", "fmqj-1-9999999999999999999999", "fmqj-1-x"] {
            assert!(secret.join_key(public, Timestamp(0)).is_none(), "{public}");
        }
    }
}
