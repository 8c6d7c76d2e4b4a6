//! The two file formats of captures: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).

use anyhow::{Result, bail};

use super::Link;

const PCAPNG: u32 = 0x0a0d_0d0a;
/// Times in microseconds, and in nanoseconds.
const PCAP: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];

/// Do the bytes begin like a capture?
pub fn is_capture(bytes: &[u8]) -> bool {
    let little = number(bytes, 0, true);
    little == Some(PCAPNG)
        || PCAP.iter().any(|magic| little == Some(*magic) || number(bytes, 0, false) == Some(*magic))
}

/// The frames with their link type, in order. A file cut short gives what is whole.
pub fn frames(bytes: &[u8]) -> Result<Vec<(Link, &[u8])>> {
    match number(bytes, 0, true) {
        Some(PCAPNG) => Ok(pcapng(bytes)),
        _ => pcap(bytes),
    }
}

fn pcap(bytes: &[u8]) -> Result<Vec<(Link, &[u8])>> {
    let is_little = PCAP.iter().any(|magic| number(bytes, 0, true) == Some(*magic));
    let Some(link) = number(bytes, 20, is_little) else { bail!("the capture ends in its header") };
    // The upper bits tell of frame check sequences.
    let Some(link) = Link::from_number(link & 0x0fff_ffff) else {
        bail!("the capture is of link type {link}, which is not read: capture on Ethernet or on `any`");
    };
    let mut frames = Vec::new();
    let mut position = 24;
    while let Some(length) = number(bytes, position + 8, is_little) {
        let start = position + 16;
        let Some(frame) = bytes.get(start..start.saturating_add(length as usize)) else { break };
        frames.push((link, frame));
        position = start + length as usize;
    }
    Ok(frames)
}

fn pcapng(bytes: &[u8]) -> Vec<(Link, &[u8])> {
    let mut frames = Vec::new();
    let (mut position, mut is_little) = (0, true);
    let mut links: Vec<Option<Link>> = Vec::new();
    while let Some(kind) = number(bytes, position, is_little) {
        if kind == PCAPNG {
            is_little = number(bytes, position + 8, true) == Some(0x1a2b_3c4d);
            links.clear();
        }
        let Some(length) = number(bytes, position + 4, is_little).map(|length| length as usize) else {
            break;
        };
        let Some(block) = bytes.get(position..position.saturating_add(length)) else { break };
        if length < 12 {
            break;
        }
        match kind {
            // Interface description: the link type is 16 bits wide.
            1 => {
                let link = number(block, 8, is_little);
                links.push(
                    link.and_then(|link| {
                        Link::from_number(if is_little { link & 0xffff } else { link >> 16 })
                    }),
                );
            }
            // Enhanced packet.
            6 => {
                let link = number(block, 8, is_little).and_then(|index| *links.get(index as usize)?);
                let captured = number(block, 20, is_little).map(|captured| captured as usize);
                let frame = captured.and_then(|captured| block.get(28..28_usize.saturating_add(captured)));
                frames.extend(link.zip(frame));
            }
            // Simple packet: as much of the original as the block holds.
            3 => {
                let link = links.first().copied().flatten();
                let original = number(block, 8, is_little).map(|original| original as usize);
                let frame = original
                    .and_then(|original| block.get(12..(12_usize.saturating_add(original)).min(length - 4)));
                frames.extend(link.zip(frame));
            }
            _ => {}
        }
        position += length;
    }
    frames
}

fn number(bytes: &[u8], position: usize, is_little: bool) -> Option<u32> {
    let bytes: [u8; 4] = bytes.get(position..position.checked_add(4)?)?.try_into().ok()?;
    Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes(), &length, body, &length].concat()
    }

    #[test]
    fn a_pcapng_file_gives_its_frames() {
        let section =
            block(PCAPNG, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        let interface = block(1, &[1, 0, 0, 0, 0, 0, 0, 0]);
        let mut packet = vec![0; 12];
        packet.extend([4, 0, 0, 0, 4, 0, 0, 0]);
        packet.extend(b"data");
        let file =
            [section, interface, block(6, &packet), block(9, b"what"), block(3, b"\x04\0\0\0more")].concat();
        assert!(is_capture(&file));
        let frames = frames(&file).expect("it is whole");
        assert_eq!(frames, [(Link::Ethernet, &b"data"[..]), (Link::Ethernet, b"more")]);
    }
}
