// The exit code of each kind of error.
#include "core/error.h"

namespace smartbird {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Config: return 2;
    case ErrorKind::Data:
    case ErrorKind::Io: return 3;
    case ErrorKind::Environment:
    case ErrorKind::Device: return 4;
    case ErrorKind::Memory: return 5;
    case ErrorKind::NonFinite: return 6;
    case ErrorKind::Comm: return 7;
    case ErrorKind::Shape: return 70;
  }
  return 70;
}

}  // namespace smartbird
