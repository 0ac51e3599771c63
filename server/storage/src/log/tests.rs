mod basics;
mod crash;
mod damage;
mod disk_errors;
mod fixture;
mod model;
mod real_disk;
mod retention;
pub(crate) mod support;
