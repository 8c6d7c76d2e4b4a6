//! The I-CSCF alone between a scripted HSS and scripted S-CSCFs: spec 4.2 rows 3, 4 and 10, 4.3.1 row "I term", 4.4.

mod bench;
mod location;
mod passing;
mod registration;
