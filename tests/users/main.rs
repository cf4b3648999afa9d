//! What users write and read: the listings of the guide, settings at their extremes, error messages, documents.

mod contract;
mod guide;
mod links;
mod messages;
mod own_ca;
mod rust_version;
mod settings;
