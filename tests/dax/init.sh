#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
#
# The first process of the machine: the NVDIMM becomes a filesystem mounted with DAX, then $sj_run
# runs. What the kernel's command line says as sj_…=… is in the environment.
PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /mnt/dax /tmp /var/tmp
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /var/tmp

fail() {
    echo "init: FAILED $*"
    poweroff -f
}

for module in $(cat /modules/order); do
    insmod "/modules/$module" || fail "module $module"
done
tries=0
while [ ! -b /dev/pmem0 ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || fail 'there is no /dev/pmem0'
    usleep 50000
done

# As `ndctl create-namespace -m fsdax -M mem` does it: struct pages for the NVDIMM, and a note at its
# beginning, which the kernel finds by itself in later boots.
if [ ! -e /sys/block/pmem0/device/mode ] || ! grep -q ram /sys/block/pmem0/device/mode; then
    nd=/sys/bus/nd
    echo namespace0.0 >$nd/drivers/nd_pmem/unbind
    cat /proc/sys/kernel/random/uuid >$nd/devices/pfn0.0/uuid
    echo ram >$nd/devices/pfn0.0/mode
    echo 2097152 >$nd/devices/pfn0.0/align
    echo namespace0.0 >$nd/devices/pfn0.0/namespace
    echo pfn0.0 >$nd/drivers/nd_pmem/bind || fail 'no fsdax namespace'
    /sbin/mke2fs -q -F -t ext4 -b 4096 -J size=16 -O ^resize_inode /dev/pmem0 || fail mke2fs
fi

# As every boot does. Persistent memory tears sectors: a block of the filesystem's own journal that
# was being written when the machine stopped fails its checksum, and the kernel alone then refuses
# to mount. What such a transaction would have brought was not yet synced.
/sbin/e2fsck -p /dev/pmem0 >/tmp/e2fsck 2>&1
[ $? -lt 4 ] || /sbin/e2fsck -y /dev/pmem0 >>/tmp/e2fsck 2>&1
[ $? -lt 4 ] || fail "e2fsck: $(cat /tmp/e2fsck)"
grep -q 'corrupt' /tmp/e2fsck && echo "init: e2fsck mended a torn journal"
mount -t ext4 -o dax /dev/pmem0 /mnt/dax || fail mount
echo "init: mounted, $(cat /sys/bus/nd/devices/region0/persistence_domain)"
eval "$sj_run"
echo "init: ended with $?"
sync
umount /mnt/dax
poweroff -f
