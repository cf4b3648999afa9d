//! Documents, listings, messages and settings that users meet.

mod contract;
mod guide;
mod layers;
mod links;
mod messages;
mod own_ca;
mod rust_version;
mod settings;
mod shown;
