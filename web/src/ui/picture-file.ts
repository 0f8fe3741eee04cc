/** What the api takes. */
export const PICTURE_TYPES: readonly string[] = ['image/jpeg', 'image/png', 'image/webp'];

/** The first file of a choice or a drop. */
export const firstOf = (files: FileList | null | undefined): File | null => files?.item(0) ?? null;

/**
 * The size to send a picture in: no larger than anything is shown. Telephones take photographs of 12 megapixels, which are long
 * on their way.
 */
export function sizeToSend(width: number, height: number): { width: number; height: number } {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height, 1));
  const scaled = (side: number) => Math.max(1, Math.round(side * scale));
  return { width: scaled(width), height: scaled(height) };
}

/** A large file made smaller; as it is where this browser cannot, because the api can say what is wrong with it. */
export async function toSend(file: Blob): Promise<Blob> {
  if (file.size <= SMALL_ENOUGH || !PICTURE_TYPES.includes(file.type)) return file;
  try {
    return await redrawn(file);
  } catch {
    return file;
  }
}

async function redrawn(file: Blob): Promise<Blob> {
  const picture = await createImageBitmap(file);
  const canvas = document.createElement('canvas');
  Object.assign(canvas, sizeToSend(picture.width, picture.height));
  const context = canvas.getContext('2d');
  if (context === null) return file;
  // A JPEG has no transparency, and an empty canvas is black in one.
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  const small = await new Promise<Blob | null>((done) => {
    canvas.toBlob(done, 'image/jpeg', QUALITY);
  });
  return small === null || small.size > file.size ? file : small;
}

/** A data: address, which the pages' policy allows pictures to have. */
export const shownAs = (file: Blob): Promise<string | null> =>
  new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(typeof reader.result === 'string' ? reader.result : null);
    reader.onerror = () => done(null);
    reader.readAsDataURL(file);
  });

/** A second or two on the upstream of a telephone. */
const SMALL_ENOUGH = 512 * 1024;
/** Half as much again as the widest that the api keeps, because it may cut something off. */
const LONGEST_SIDE = 1_920;
const QUALITY = 0.9;
