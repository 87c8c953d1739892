//! `sluice serve`.

use std::path::Path;

use anyhow::Result;
use tracing::{error, info};

use crate::cli::{DONE, Global, WRONG, report_mistakes};
use crate::config::{self, Config};
use crate::policies::Mistakes;
use crate::reload::Reloads;
use crate::running::Running;
use crate::shutdown::Endings;
use crate::{log, world::World};

/// Serves until told to stop.
pub(crate) async fn run(global: &Global) -> Result<u8> {
    log::start(global.log);
    let (config, mut reloads) = match watched(global) {
        Ok(started) => started?,
        Err(mistakes) => return Ok(report_mistakes(&mistakes)),
    };
    let mut endings = Endings::listen()?;
    let running = match Running::start(&config).await {
        Ok(running) => running,
        Err(error) => match error.downcast::<Mistakes>() {
            Ok(mistakes) => return Ok(report_mistakes(&mistakes)),
            Err(error) => return Err(error),
        },
    };
    let targets = config.targets.len();
    for (protocol, address) in running.addresses.iter().rev() {
        info!(protocol, address = %address, targets, "the broker is ready");
    }
    let signal = loop {
        tokio::select! {
            signal = endings.next() => break signal,
            () = reloads.next() => reload(&running.world, &global.config, &config, &mut reloads),
        }
    };
    info!(signal, "the broker is stopping");
    tokio::select! {
        () = running.stop() => {}
        signal = endings.next() => {
            error!(signal, "the broker was told to stop a second time and leaves at once");
            return Ok(WRONG);
        }
    }
    info!("the broker has stopped");
    Ok(DONE)
}

/// The configuration, with its files watched since before it was read: no change is missed.
fn watched(global: &Global) -> Result<Result<(Config, Reloads)>, Mistakes> {
    let reloads = Reloads::watch(&config::load(&global.config)?);
    let config = config::load(&global.config)?;
    Ok(reloads.map(|reloads| (config, reloads)))
}

/// Takes a changed configuration, or keeps the one in force and says why.
fn reload(world: &World, file: &Path, first: &Config, reloads: &mut Reloads) {
    let adopted = config::load(file).map_err(Mistakes::from).and_then(|config| {
        world.adopt(&config)?;
        Ok(config)
    });
    match adopted {
        Ok(config) => {
            info!(targets = config.targets.len(), "the configuration was reloaded");
            for section in needing_restart(first, &config) {
                error!(section, "a changed section takes effect only after a restart");
            }
            reloads.follow(&config);
        }
        Err(mistakes) => {
            for line in mistakes.lines() {
                error!(mistake = line, "the changed configuration is not used; the one before stays in force");
            }
        }
    }
}

fn needing_restart(first: &Config, now: &Config) -> Vec<&'static str> {
    let tls = |config: &Config| config.listen.tls.as_ref().map(|tls| (tls.cert.clone(), tls.key.clone()));
    let listen = |config: &Config| {
        let listen = &config.listen;
        let plain = listen.dangerous_cleartext_loopback;
        (listen.addresses(), listen.http_hosts.clone(), tls(config), listen.oauth.clone(), plain)
    };
    let changed = [
        ("listen", listen(first) != listen(now)),
        ("data_dir", first.data_dir != now.data_dir),
        ("limits", first.limits != now.limits),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(section, _)| section).collect()
}
