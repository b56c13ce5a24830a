//! The lab itself, before anything is asked of the balancer.

use anyhow::Result;
use lb_tests::{lab::Lab, process::run};

#[test]
fn the_client_reaches_a_server_through_the_balancer() -> Result<()> {
    let lab = Lab::new()?;
    print!("{}", run(lab.client.command("ping").args(["-c", "2", "-i", "0.2", "10.1.1.12"]))?);
    Ok(())
}
