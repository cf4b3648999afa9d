//! Each mistake is reported where it stands: one file of `tests/ui` each.

#[test]
fn mistakes() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
