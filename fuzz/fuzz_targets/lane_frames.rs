#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    rpcnet_fuzz::LANE_FRAMES.run(input);
});
