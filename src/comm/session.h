// The life of MPI in this process: initialised once (SERIALIZED), finalised when the session dies; after an error
// abort() ends all ranks with the given exit code. Without MPI in the build there is one rank.
// Start-up errors (ErrorKind::Environment): a launcher that started several tasks of which each sees a world of one
// ("use srun --mpi=pmix or mpirun"), or a launcher in front of a build without MPI.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace smartbird {

class Session {
 public:
  Session(int* argc, char*** argv);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Throws the start-up errors described above; returns the group of all ranks.
  [[nodiscard]] std::unique_ptr<Communicator> everyone() const;
  [[nodiscard]] int rank() const;
  [[nodiscard]] int size() const;
  // Ends every rank of the job with this exit code; does not return.
  [[noreturn]] void abort(int exit_code) const;
  // "Open MPI v4.1.4, not CUDA-aware" or "none".
  [[nodiscard]] static std::string description();
};

}  // namespace smartbird
