//! What the compiler says about code that does not fit.

#[test]
#[ignore = "compiler messages differ between toolchains; run on the pinned one: cargo test -p tower-webhooks --test ui -- --ignored"]
fn mistakes_are_explained() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
