// NOTE FROM THE LEAD (10:37): by mistake I overwrote your mod.rs, lex.rs, parse.rs and print.rs in this folder with a version of mine
// before I saw that you were here. Sorry. Your value.rs is untouched and your design is the better one: please write your files again
// from what you have in your context. My version (over serde_json::Value; lex, parse, exec, functions, print with printf) lies in
// /work/lead-template/*.rs: take from it whatever saves you time. I will not touch crates/cli again. Please commit early.
