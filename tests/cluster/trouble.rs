//! What befalls one node for a while.

use std::time::Duration;

use rand::{Rng as _, rngs::StdRng};

use crate::{
    cluster::{Cluster, PLACES},
    row::Scenario,
};

/// One fault; [`Trouble::end`] mends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// `kill -9`, and a start.
    Kill,
    /// SIGSTOP, SIGCONT.
    Freeze,
    /// Nobody hears it, and it hears nobody.
    Cut,
    /// Nobody hears it.
    Mute,
    /// It hears nobody.
    Deaf,
}

impl Trouble {
    pub fn any(rng: &mut StdRng) -> Self {
        [Self::Kill, Self::Freeze, Self::Cut, Self::Mute, Self::Deaf][rng.random_range(0..5)]
    }

    pub fn begin(self, cluster: &mut Cluster, victim: u8) {
        match self {
            Self::Kill => cluster.kill(victim),
            Self::Freeze => cluster.freeze(victim),
            Self::Cut | Self::Mute | Self::Deaf => self.cut(cluster, victim),
        }
    }

    fn cut(self, cluster: &Cluster, victim: u8) {
        let net = cluster.net().expect("it can be cut");
        // Also one that is only about to join.
        for other in (1..=PLACES).filter(|number| *number != victim) {
            if self != Self::Deaf {
                net.cut(victim, other);
            }
            if self != Self::Mute {
                net.cut(other, victim);
            }
        }
    }

    pub async fn end(self, scenario: &mut Scenario, cluster: &mut Cluster, victim: u8) {
        match self {
            Self::Kill => scenario.started(cluster.start(&[victim]).await),
            Self::Freeze => cluster.thaw(victim),
            Self::Cut | Self::Mute | Self::Deaf => cluster.net().expect("it was cut").heal(),
        }
    }
}

/// How long a fault lasts: shorter and longer than a session.
pub async fn lasts(rng: &mut StdRng) {
    tokio::time::sleep(Duration::from_millis(rng.random_range(300..4_000))).await;
}
