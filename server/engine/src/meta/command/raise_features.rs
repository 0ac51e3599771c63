//! What the nodes may use of each other rises.

use super::{Effects, NodeRejection, Rejection, Reply};
use crate::meta::MetaImage;

/// Lets the cluster use `version`, if every node understands it. It never goes back; an older node is refused from then on
/// (KIP-584).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaiseFeatures {
    pub version: u32,
}

impl RaiseFeatures {
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        let (asked, current) = (self.version, image.cluster.features);
        if asked < current {
            return Err(NodeRejection::FeaturesGoBack { current, asked }.into());
        }
        if let Some(old) = image.cluster.nodes.values().find(|node| node.feature_version < asked) {
            let (id, understood) = (old.id.clone(), old.feature_version);
            return Err(NodeRejection::TooOld { id, understood, needed: asked }.into());
        }
        image.cluster.features = asked;
        Ok((Reply::FeaturesRaised { version: asked }, Effects::new()))
    }
}
