#!/bin/sh
# gpu-driver.sh PYTHON: make sure that wgpu finds an adapter, with a software driver where there is no GPU.
#
# Where an adapter is found, nothing happens. Else, on a Debian-like machine where we are root (or sudo asks no
# password), Mesa's software Vulkan driver is installed. Else this says what to do, and succeeds all the same: the GPU
# tests then skip themselves, unless PYNEURO_REQUIRE_GPU=1.
set -u
python=$1

have_adapter() {
    "$python" -c 'import sys, wgpu; sys.exit(not wgpu.gpu.enumerate_adapters_sync())' >/dev/null 2>&1
}

have_adapter && exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    as_root="no"
fi

if command -v apt-get >/dev/null 2>&1 && [ "$as_root" != no ]; then
    echo "No GPU adapter: installing Mesa's software Vulkan driver (mesa-vulkan-drivers, libvulkan1)."
    $as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        $as_root apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers libvulkan1 >/dev/null
    have_adapter && exit 0
fi

cat >&2 <<'TEXT'
No GPU adapter was found. To run the GPU tests and `make demo DEVICE=gpu` on this machine, install a Vulkan driver:
  Debian, Ubuntu   sudo apt-get install mesa-vulkan-drivers libvulkan1
  Fedora           sudo dnf install mesa-vulkan-drivers vulkan-loader
  Arch             sudo pacman -S vulkan-swrast vulkan-icd-loader
or the driver of your graphics card. `python -m pyneuro.doctor` shows what was found.
TEXT
[ "${PYNEURO_REQUIRE_GPU:-0}" = 1 ] && exit 1
exit 0
