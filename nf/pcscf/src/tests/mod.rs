//! The P-CSCF alone between a scripted device and a scripted core: what it lets through, what it takes off, what it
//! adds, hop by hop as spec 4.2 and 4.3 print it.

mod attacks;
mod bench;
mod dialogs;
mod flows;
mod forgetful;
mod originating;
mod refusals;
mod registration;
mod terminating;
