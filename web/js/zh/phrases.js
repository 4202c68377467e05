// Parts of the server's sentences that stand in place of a value.

export const PHRASES = {
    "{n} frame": "{n} 帧",
    "{n} frames": "{n} 帧",
    "all": "全部",
    "nothing": "无",
    "one of {choices}": "是 {choices} 之一",
    "at least {bound}": "不小于 {bound}",
    "above {bound}": "大于 {bound}",
    "below {bound}": "小于 {bound}",
    "at most {bound}": "不大于 {bound}",
    "a multiple of {bound}": "是 {bound} 的倍数",

    "takes {channels} channels instead of {latent}": "需要 {channels} 个通道而不是 {latent} 个",
    "takes a picture": "还需要一张图片",
    "frame consistency and textual alignment": "帧一致性和文字符合度",
    "textual alignment": "文字符合度",
    "run 'hf download {name} {files}', or give the folder of a copy.":
        "请执行 'hf download {name} {files}'，或给出已有副本的文件夹。",

    "{count} missing (first: {name})": "缺少 {count} 个（首先是 {name}）",
    "{count} not in this network (first: {name})": "{count} 个不在这个网络中（首先是 {name}）",
    "{count} of another shape (first: {name})": "{count} 个形状不同（首先是 {name}）",
    "{name} instead of {expected}": "{name}，应为 {expected}",
    "{family} ({blocks} transformer blocks)": "{family}（{blocks} 个 transformer 块）",
    "the SD 1.x and 2.x family": " SD 1.x 和 2.x 系列",
    "the SDXL family": " SDXL 系列",
    "another family": "另一个系列",

    "not a file": "不是文件",
    "it is nested too deeply": "嵌套太深",
    "its values are floating-point numbers, without a white": "其数值是浮点数，没有规定白色",
    "invalid data found when processing input": "数据无效",
    "end of file": "文件意外结束",
    "Permission denied": "没有权限",
    "Read-only file system": "文件系统只读",
    "No space left on device": "磁盘空间不足",
    "No such file or directory": "没有这个文件或文件夹",
    "Is a directory": "是文件夹",
    "Not a directory": "不是文件夹",
    "File name too long": "文件名太长",
    "Input/output error": "读写错误",
}
