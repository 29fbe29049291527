// The table of this unit's kernels; included once by each instruction-set unit after it defines ENGINE_ISA.
#pragma once

#include "kernels.h"
#include "log_mel_lanes.h"

namespace engine {
namespace ENGINE_ISA {

static const Kernels kTable = {
    /*name=*/ENGINE_ISA_NAME,
    /*lanes=*/kLanes,
    /*frames_per_chunk=*/kFramesPerChunk,
    /*wide_registers=*/ENGINE_WIDE_REGISTERS,
    /*log_mel=*/log_mel,
    /*spectrogram=*/spectrogram,
    /*stft=*/stft,
    /*largest_value=*/largest_value,
    /*limit_and_scale=*/limit_and_scale,
};

}  // namespace ENGINE_ISA
}  // namespace engine
