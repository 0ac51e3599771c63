mod basics;
mod cluster;
mod eligible;
mod properties;
mod support;

use super::*;
