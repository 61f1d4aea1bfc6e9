//! The shell: wires threads and queues around the core and runs until told to stop.

pub mod process;
