//! Generates the service that tonic serves, without protoc: its messages are written by hand in `src/peer/tonic.rs`.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str, input: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(input)
            .output_type(output)
            .codec_path("tonic_prost::ProstCodec")
    };
    let service = Service::builder()
        .name("Echo")
        .package("bench.v1")
        .method(method("echo", "Echo", "super::Payload", "super::Payload").build())
        .method(method("items", "Items", "super::Count", "super::Payload").server_streaming().build())
        .method(method("work", "Work", "super::Order", "super::Worked").build())
        .build();
    Builder::new().compile(&[service]);
    println!("cargo::rerun-if-changed=build.rs");
}
