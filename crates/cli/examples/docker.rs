fn main(){ std::process::exit(cli::main(std::env::args_os().collect())) }
