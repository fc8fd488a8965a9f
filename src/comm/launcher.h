// What the launcher in front of this process says: how many tasks it started, whatever the build makes of them.
#pragma once

namespace smartbird {

// OMPI_COMM_WORLD_SIZE (mpirun), else PMI_SIZE, else SLURM_STEP_NUM_TASKS (srun), the innermost launcher first; 1 when
// none is set.
[[nodiscard]] int launcher_tasks();

}  // namespace smartbird
