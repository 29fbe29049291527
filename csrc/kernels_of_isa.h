// The table of this unit's kernels; included once by each instruction-set unit after it defines ENGINE_ISA.
#pragma once

#include "kernels.h"
#include "levels_lanes.h"
#include "log_mel_lanes.h"
#include "row_lanes.h"
#include "tile_lanes.h"

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
    /*levels=*/levels,
    /*tile_rows=*/kTileRows,
    /*tile_columns=*/kTileColumns,
    /*pack=*/pack,
    /*sum_tiles=*/sum_tiles,
    /*filter_tiles=*/filter_tiles,
    /*finish_tiles=*/finish_tiles,
    /*squared_norm=*/squared_norm,
    /*shifted_squared_norm=*/shifted_squared_norm,
    /*dot=*/dot,
    /*squared_difference=*/squared_difference,
    /*scan_differences=*/scan_differences,
    /*scan_dots=*/scan_dots,
    /*bound_products=*/bound_products,
    /*widen_halves=*/widen_halves,
    /*smallest_above=*/smallest_above,
    /*indices_between=*/indices_between,
};

}  // namespace ENGINE_ISA
}  // namespace engine
