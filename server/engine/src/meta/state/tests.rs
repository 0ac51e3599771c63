mod basics;
mod cluster;
mod properties;
mod support;

use super::*;
