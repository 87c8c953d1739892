//! The critical option `source-address`: a comma-separated list of addresses in CIDR form.
//! Source: OpenSSH's PROTOCOL.certkeys, "Critical options".

use std::net::IpAddr;

/// One network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

/// Whether a client's address is in a list; `None` if the list cannot be read as a whole.
pub(super) fn admits(list: &str, client: IpAddr) -> Option<bool> {
    let networks: Vec<Network> = list.split(',').map(Network::parse).collect::<Option<_>>()?;
    let client = client.to_canonical();
    Some(networks.iter().any(|network| network.contains(client)))
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = width(address);
        let bits = match bits {
            None => width,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
        };
        let network = Self { address, bits };
        // A network with bits of a host in it means something that was not written.
        let clean = bits <= width && number(address) & !mask(width, bits) == 0;
        clean.then_some(network)
    }

    fn contains(&self, client: IpAddr) -> bool {
        let width = width(self.address);
        width == self::width(client) && number(client) & mask(width, self.bits) == number(self.address)
    }
}

const fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The upper `bits` of the lower `width`.
fn mask(width: u32, bits: u32) -> u128 {
    let all = u128::MAX >> (128 - width);
    let hosts = u128::MAX.checked_shr(128 - (width - bits.min(width))).unwrap_or(0);
    all & !hosts
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::admits;

    #[test]
    fn networks() {
        for (list, client, expected) in [
            ("10.0.0.0/8", "10.1.2.3", Some(true)),
            ("10.0.0.0/8", "11.1.2.3", Some(false)),
            ("10.0.0.0/8", "::ffff:10.1.2.3", Some(true)),
            ("192.0.2.7", "192.0.2.7", Some(true)),
            ("192.0.2.7", "192.0.2.8", Some(false)),
            ("192.0.2.0/24,2001:db8::/32", "2001:db8:1::1", Some(true)),
            ("192.0.2.0/24,2001:db8::/32", "2001:db9::1", Some(false)),
            ("0.0.0.0/0", "192.0.2.1", Some(true)),
            ("0.0.0.0/0", "2001:db8::1", Some(false)),
            ("::/0", "192.0.2.1", Some(false)),
            ("10.0.0.1/8", "10.0.0.1", None),
            ("10.0.0.0/33", "10.0.0.1", None),
            ("10.0.0.0/", "10.0.0.1", None),
            ("10.0.0.0/+8", "10.0.0.1", None),
            ("!10.0.0.0/8", "10.0.0.1", None),
            ("10.0.0.0/8,", "10.0.0.1", None),
            ("10.0.0.0/8, 11.0.0.0/8", "10.0.0.1", None),
            ("*", "10.0.0.1", None),
            ("", "10.0.0.1", None),
        ] {
            assert_eq!(admits(list, client.parse().unwrap()), expected, "{list} {client}");
        }
    }
}
