//! One header block, taken apart.

use super::{BLOCK, TarError, number};

/// Which dialect the magic promises; it decides what the bytes behind it mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Before POSIX: nothing behind the link name.
    V7,
    /// POSIX: device numbers and a prefix of the name.
    Ustar,
    /// Schily's: the same with a shorter prefix.
    Star,
    /// GNU: device numbers, and sparse maps where the prefix would be.
    Gnu,
}

/// A header block whose checksum is right.
#[derive(Debug)]
pub(super) struct Header<'a> {
    block: &'a [u8; BLOCK],
    pub(super) format: Format,
}

impl<'a> Header<'a> {
    pub(super) fn parse(block: &'a [u8; BLOCK]) -> Result<Self, TarError> {
        let stated = number::parse(&block[148..156])?;
        // The checksum counts its own field as spaces. Old programs summed signed bytes.
        let byte = |i: usize, b: u8| if (148..156).contains(&i) { b' ' } else { b };
        let unsigned: i64 = block.iter().enumerate().map(|(i, b)| i64::from(byte(i, *b))).sum();
        let signed: i64 = block.iter().enumerate().map(|(i, b)| i64::from(byte(i, *b).cast_signed())).sum();
        if stated != unsigned && stated != signed {
            return Err(TarError::Header("wrong checksum"));
        }
        let format = match &block[257..265] {
            b"ustar\x0000" if &block[508..512] == b"tar\0" => Format::Star,
            [b'u', b's', b't', b'a', b'r', 0, ..] => Format::Ustar,
            b"ustar  \0" => Format::Gnu,
            _ => Format::V7,
        };
        Ok(Self { block, format })
    }

    pub(super) fn typeflag(&self) -> u8 {
        self.block[156]
    }

    /// The name with its prefix.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        let prefix = match self.format {
            Format::Ustar => text(&self.block[345..500]),
            Format::Star => text(&self.block[345..476]),
            Format::V7 | Format::Gnu => b"",
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.block[157..257]).to_vec()
    }

    pub(super) fn mode(&self) -> Result<i64, TarError> {
        number::parse(&self.block[100..108])
    }

    pub(super) fn uid(&self) -> Result<i64, TarError> {
        number::parse(&self.block[108..116])
    }

    pub(super) fn gid(&self) -> Result<i64, TarError> {
        number::parse(&self.block[116..124])
    }

    pub(super) fn size(&self) -> Result<i64, TarError> {
        number::parse(&self.block[124..136])
    }

    pub(super) fn mtime(&self) -> Result<i64, TarError> {
        number::parse(&self.block[136..148])
    }

    pub(super) fn device(&self) -> Result<(i64, i64), TarError> {
        match self.format {
            Format::V7 => Ok((0, 0)),
            _ => Ok((number::parse(&self.block[329..337])?, number::parse(&self.block[337..345])?)),
        }
    }

    /// The start of a GNU sparse map: four pieces, whether more blocks follow, and the file's length.
    pub(super) fn gnu_sparse(&self) -> Result<(&[u8], bool, i64), TarError> {
        if self.format != Format::Gnu {
            return Err(TarError::Header("sparse file in a header that is not GNU's"));
        }
        Ok((&self.block[386..482], self.block[482] != 0, number::parse(&self.block[483..495])?))
    }
}

/// The bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|b| *b == 0).unwrap_or(field.len())]
}
