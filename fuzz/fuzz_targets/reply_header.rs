#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    rpcnet_fuzz::REPLY_HEADER.run(input);
});
