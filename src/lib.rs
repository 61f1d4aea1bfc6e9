//! PINconnector joins an Asterisk telephone exchange to vTiger CRM.

pub mod asterisk;
pub mod clock;
