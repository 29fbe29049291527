#!/usr/bin/env bash
# Builds, runs the tests marked gpu, measures the models on the GPU and beside it on the CPU, and writes what was found:
# OUT/gpu.txt with the GPU, its driver and the table, OUT/gpu.json with every repeat, OUT/gpu.png.
#
#   benchmarks/gpu.sh                  with an NVIDIA GPU and its driver
#   DEVICE=cuda:1 benchmarks/gpu.sh    with the second one
#   DEVICE=cpu OUT=build benchmarks/gpu.sh
#                                      without one: everything but the device
#
# Beside each model its waveform and fp16 variants are measured, which run on the GPU from samples to scores and in half
# precision; the last lines say what is faster. The tests hold outputs to the CPU's within 1e-4, TensorFloat-32 off, and
# those of fp16 within 0.02.
#
# MODELS="esc10 mine.onnx" measures these, ENGINE_PYTHON=python3 uses an interpreter that has the engine and its extras
# cuda, test and plot already, REPEATS=20 is for a quick look.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

device=${DEVICE:-cuda:0}
out=${OUT:-benchmarks/results}
repeats=${REPEATS:-300}
read -ra models <<<"${MODELS:-}"
python=${ENGINE_PYTHON:-}
devices=cpu
[[ $device == cpu ]] || devices=cpu,$device

if [[ -z $python ]]; then
  make .venv/test-extras .venv/cuda-extras
  python=.venv/bin/python
  # The installed engine has the kernels, the tree has not.
  export PYTHONSAFEPATH=1
fi

ENGINE_TEST_DEVICE=$device "$python" -m pytest -m gpu

variants=$(mktemp -d)
trap 'rm -rf "$variants"' EXIT
for model in "${models[@]-esc10}"; do
  # 3: one of the variants is not for this model, which was said.
  "$python" -m engine models convert "$model" --variants waveform,fp16 -o "$variants" || [[ $? -eq 3 ]]
done

mkdir -p "$out"
{
  echo "DEVICE=$device MODELS=${models[*]-} REPEATS=$repeats benchmarks/gpu.sh, $(date -u +%Y-%m-%d), commit $(git rev-parse --short HEAD)"
  if [[ $device != cpu ]]; then
    nvidia-smi --query-gpu=index,name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv
    "$python" -m pip list 2>/dev/null | grep -iE '^(onnxruntime|nvidia)' || true
  fi
  echo
} | tee "$out/gpu.txt"
"$python" -m engine bench "${models[@]-esc10}" "$variants"/*.onnx --device "$devices" --stages --duration 1,5,10 \
  --batch 1,2,4,8,16,32,64,auto --clients 1,2,4,8 --repeats "$repeats" \
  -o "$out/gpu.json" --plot "$out/gpu.png" --overwrite | tee -a "$out/gpu.txt"
