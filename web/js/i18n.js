// Texts of this pack's own elements, in the language that ComfyUI is set to.

import { app } from "../../../scripts/app.js"

const CHINESE = {
    "Measures here: {scores}.": "这里能测：{scores}。",
    "frame consistency": "帧一致性",
    "consecutive frames": "相邻帧",
    "textual alignment": "文字符合度",
    "motion fidelity": "运动保真度",
    "motion overlap": "运动重合度",
    "steadiness in dB": "稳定度（dB）",
    "PSNR in dB": "PSNR（dB）",

    "choose a video to upload": "选择要上传的视频",
    "{file} could not be uploaded: {reason}": "无法上传 {file}：{reason}",
    "Uploading {file} …": "正在上传 {file}…",
    "{frames} frames · {fps} fps · {seconds} s · {width} × {height}":
        "{frames} 帧 · {fps} fps · {seconds} 秒 · {width} × {height}",
    "from {clip}": "取自 {clip}",
    " · {size} GB of memory": " · 占用 {size} GB 内存",
    "The file breaks off: {frames} of {wanted} frames can be read. ": "文件不完整：{wanted} 帧中只能读取 {frames} 帧。",
    "No preview: {input} comes from another node.": "无预览：{input} 来自另一个节点。",
    "Play or pause (space), one frame back or on (arrow keys)": "播放或暂停（空格键），后退或前进一帧（方向键）",
    "The preview could not be loaded: {reason}": "无法加载预览：{reason}",

    "The loss curve appears here while tuning.": "微调时，损失曲线显示在这里。",
    "Step {step} of {steps}": "第 {step} 步，共 {steps} 步",
    "Tuned for {step} steps": "已微调 {step} 步",
    "Stopped after step {step} of {steps}, and kept": "在第 {step} 步（共 {steps} 步）停止并保留",
    "Cancelled after step {step} of {steps}": "在第 {step} 步（共 {steps} 步）取消",
    "Failed after step {step} of {steps}": "在第 {step} 步（共 {steps} 步）失败",
    "{n} s": "{n} 秒",
    "{n} min": "{n} 分钟",
    "{n} h": "{n} 小时",
    "took {time}": "用时 {time}",
    "{time} left": "剩余 {time}",
    "rendering a preview …": "正在渲染预览…",
    "mean loss {loss}": "平均损失 {loss}",
    "validation loss {loss}": "验证损失 {loss}",
    "learning rate {rate}": "学习率 {rate}",
    "continuing from step {step}": "从第 {step} 步继续",
    "Stop and keep": "停止并保留",
    "Stopping …": "正在停止…",
    "End the tuning after this step, and go on with what is learned": "在这一步之后结束微调，用已学到的内容继续",
    Cancel: "取消",
    "Cancel the whole run; nothing of this tuning is kept": "取消整个运行；本次微调的内容不会保留",
    "Show advanced settings": "显示高级设置",
    "Hide advanced settings": "隐藏高级设置",
    Continue: "继续",
    "Run again, from the step at which this was stopped": "再次运行，从停止的那一步继续",
    "Loss of {steps} steps": "{steps} 步的损失",
    "step {step} · loss {loss} · mean {mean}": "第 {step} 步 · 损失 {loss} · 平均 {mean}",
    Previews: "预览",
    "A preview appears here every {every} steps.": "每 {every} 步在这里显示一次预览。",
    "before the first step": "第一步之前",
    "{preview}: click to play": "{preview}：点击播放",
    "the clip": "原视频",
    "step {step} · loss {loss} · validation {validation}": "第 {step} 步 · 损失 {loss} · 验证 {validation}",
    "after step {step}": "第 {step} 步之后",
    previous: "上一个",
    next: "下一个",

    "Run the graph to see the videos here.": "运行工作流后，视频显示在这里。",
    "These videos are no longer there: run the graph again.": "这些视频已不存在：请重新运行工作流。",
    "Play or pause (space)": "播放或暂停（空格键）",
    "One frame back (left arrow)": "后退一帧（左方向键）",
    "One frame on (right arrow)": "前进一帧（右方向键）",
    Frame: "帧",
    Speed: "速度",
    Loop: "循环播放",
    "Forwards and backwards": "往返播放",
    "Play once": "播放一次",
    "Save this frame": "保存当前帧",
    "Open this frame": "打开此帧",
    "Copy this frame": "复制此帧",
    "Save as a video": "保存为视频",
    "Full screen": "全屏",
    "Start at this frame": "从此帧开始",
    "End with this frame": "到此帧结束",
    "frame {number} of the file": "文件的第 {number} 帧",
    "The clip is stretched from {width} × {height}: choose crop or pad to keep its shapes. ":
        "视频由 {width} × {height} 拉伸而来：选择 crop 或 pad 可保持形状。",
    Wipe: "滑动对比",
    "Side by side": "并排",
    "Show all videos beside each other": "并排显示所有视频",
    "Lay two videos over each other": "叠放两个视频，滑动对比",
    "Drag the divider, or move it with Shift and the arrow keys": "拖动分隔线，或用 Shift 加方向键移动",
    "The video on the left": "左侧的视频",
    "The video on the right": "右侧的视频",

    "{frames} frames": "{frames} 帧",
    "{steps} steps": "{steps} 步",
    "There is no {name} in models/tune_a_video yet.": "models/tune_a_video 中还没有 {name}。",
    "No motion is saved yet.": "还没有保存过运动。",
    "Run the graph to save the motion.": "运行工作流后，运动将被保存。",
    "Saved as {name}": "已保存为 {name}",
    "The file has no metadata; it may be a published one.": "文件不含元数据；可能是已发布的模型文件。",
}

/** Return true if ComfyUI is set to Chinese. */
export const chinese = () => app.extensionManager.setting.get("Comfy.Locale") === "zh"

/** Return `text` in the user's language, with values in place of their names in braces. */
export function t(text, values = {}) {
    const translated = chinese() ? (CHINESE[text] ?? text) : text
    const filled = translated.replace(/{(\w+)}/g, (_, name) => values[name])
    return filled.replace(/\b1 (frame|step)s\b/g, "1 $1")
}
